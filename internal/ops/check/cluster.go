// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Wishes are what a sensor wants of its cluster.
type Wishes struct {
	Brokers    []string // host:port
	Topic      string
	TLS        bool
	Login      string        // mechanism; empty for none
	Readable   bool          // whoever sees the login on the wire has the secret
	AllAcks    bool          // acks=all, with idempotence
	BatchSize  int64         // bytes of a batch before compression, its header included
	MaxAge     time.Duration // batches older than this get the time of their sending; 0 never
	MaxAhead   time.Duration // as do those that are this far ahead of the clock
	SendCanary bool
}

// Topic is what a cluster says about the topic.
type Topic struct {
	Brokers    []string // host:port, as the cluster advertises itself
	Partitions int
	Leaderless int
	Thin       int // partitions with fewer replicas in sync than min.insync.replicas
	Configs    map[string]string
	Unknown    string // why Configs is empty

	MayWrite      Right
	MayIdempotent Right
	Refused       string // why not, if MayIdempotent is not Granted
}

// Right is whether we may do a thing.
type Right string

// The rights.
const (
	Granted      Right = "granted"
	Denied       Right = "denied"
	UnknownRight Right = "unknown"
)

// Certificate is what a broker showed of itself.
type Certificate struct {
	Version string // of TLS
	Subject string
	Until   time.Time // when the first of its chain expires
}

// Cause is which of the checks an error of the cluster belongs to.
type Cause uint8

// The causes.
const (
	NoAnswer    Cause = iota // nobody answers, or something is wrong with the brokers
	BadTLS                   // the handshake
	BadLogin                 // the credentials
	NoTopic                  // the topic does not exist
	NotAllowed               // an access list
	NoLeader                 // no partition can be written to
	FewReplicas              // too few replicas are in sync
	Refused                  // the record itself is not accepted
)

// Cluster is the cluster as far as a check needs it. Its functions are replaced in tests.
type Cluster struct {
	Resolve   func(ctx context.Context, host string) ([]string, error)
	Connect   func(ctx context.Context, address string) error
	Handshake func(ctx context.Context, address string) (Certificate, error) // only if Wishes.TLS
	Describe  func(ctx context.Context) (Topic, error)
	Canary    func(ctx context.Context) (where string, err error)
	Cause     func(error) Cause
	Now       func() time.Time
}

// soon is how long before its end a certificate is worth a warning.
const soon = 14 * 24 * time.Hour

// ask is the cluster under check: what one check learns, those after it use.
type ask struct {
	Cluster
	Wishes
	describe func(context.Context) (Topic, error) // asks once
}

// Checks returns the checks of the cluster, in their order.
func (c Cluster) Checks(w Wishes) []Check {
	a := &ask{Cluster: c, Wishes: w}
	var once sync.Once
	var topic Topic
	var err error
	a.describe = func(ctx context.Context) (Topic, error) {
		once.Do(func() { topic, err = c.Describe(ctx) })
		return topic, err
	}
	all := []Check{
		{Name: "names", Run: a.names,
			Advice: "check the names in --brokers, and the resolver of this machine (getent hosts NAME)"},
		{Name: "connect", Needs: "names", Run: a.connect,
			Advice: "check that the brokers run, the port, and what filters between here and there"},
		{Name: "tls", Needs: "connect", Run: a.tls,
			Advice: "check the certificates, their dates, the port, and the clock of this machine"},
		{Name: "login", Needs: "tls", Run: a.login,
			Advice: "check user, password and mechanism"},
		{Name: "topic", Needs: "login", Run: a.topic,
			Advice: "create the topic " + w.Topic + ", or name another with --topic"},
		{Name: "advertised", Needs: "topic", Run: a.advertised,
			Advice: "the brokers tell clients these addresses (advertised.listeners): they must work from here"},
		{Name: "partitions", Needs: "topic", Run: a.partitions,
			Advice: "bring the brokers of these partitions back (kafka-topics --describe --topic " + w.Topic + ")"},
		{Name: "write", Needs: "topic", Run: a.write,
			Advice: "grant this user WRITE and DESCRIBE on the topic, and IDEMPOTENT_WRITE on the cluster"},
		{Name: "size", Needs: "topic", Run: a.size,
			Advice: "set the topic's max.message.bytes above deliver.batch_size, or deliver.batch_size below it"},
		{Name: "timestamps", Needs: "topic", Run: a.timestamps,
			Advice: "set deliver.timestamp_max_age below the topic's limits"},
		{Name: "cleanup", Needs: "topic", Run: a.cleanup,
			Advice: "set the topic's cleanup.policy to delete: records have no key, and a compacted topic takes none without"},
	}
	if w.SendCanary {
		all = append(all, Check{Name: "canary", Needs: "write", Run: a.canary,
			Advice: "see what the broker says, and the broker's log"})
	}
	for i := range all {
		all[i].Group = "cluster"
	}
	return all
}

// each does something about each of the addresses, side by side, and returns the errors in their
// order, nil where all was well, and how many were not.
func each(addresses []string, do func(address string) error) (errs []error, bad int) {
	errs = make([]error, len(addresses))
	var all sync.WaitGroup
	for i, address := range addresses {
		all.Go(func() { errs[i] = do(address) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			bad++
		}
	}
	return errs, bad
}

// some is the result when some of the brokers suffice.
func some(what string, addresses []string, do func(address string) error) Result {
	errs, bad := each(addresses, do)
	switch bad {
	case 0:
		return ok("%s: %s", what, strings.Join(addresses, ", "))
	case len(addresses):
		return failure("%v", errors.Join(errs...))
	}
	return warning("%d of %d: %v", bad, len(addresses), errors.Join(errs...))
}

func (a *ask) names(ctx context.Context) Result {
	return some("resolved", a.Brokers, func(address string) error { return a.resolves(ctx, address) })
}

func (a *ask) resolves(ctx context.Context, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	found, err := a.Resolve(ctx, host)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s has no address", host)
	}
	return err
}

func (a *ask) connect(ctx context.Context) Result {
	return some("connected", a.Brokers, func(address string) error { return a.Connect(ctx, address) })
}

func (a *ask) tls(ctx context.Context) Result {
	if !a.TLS {
		return ok("not configured: the link is plain text")
	}
	var certificates []Certificate
	var mu sync.Mutex
	r := some("handshake", a.Brokers, func(address string) error {
		c, err := a.Handshake(ctx, address)
		if err != nil {
			return fmt.Errorf("%s: %w", address, err)
		}
		mu.Lock()
		defer mu.Unlock()
		certificates = append(certificates, c)
		return nil
	})
	if r.Level != OK {
		return r
	}
	first := Certificate{}
	for _, c := range certificates {
		if first.Until.IsZero() || c.Until.Before(first.Until) {
			first = c
		}
	}
	until := first.Until.UTC().Format(time.RFC3339)
	if left := first.Until.Sub(a.Now()); left < soon {
		return warning("the certificate of %s, or one above it, expires on %s, in %d days", first.Subject, until, int(left.Hours()/24)).
			but("renew it before then; dnsluice reads its own files again for each connection")
	}
	return ok("%s; the certificate of %s and those above it are valid until %s", first.Version, first.Subject, until)
}

func (a *ask) login(ctx context.Context) Result {
	_, err := a.describe(ctx)
	if err == nil {
		return a.loggedIn()
	}
	switch a.Cause(err) {
	case NoTopic, NotAllowed, NoLeader: // it knows us well enough to say so
		return a.loggedIn()
	case BadLogin:
		if a.Login == "" {
			return failure("%v", err).but("the brokers want credentials: configure SASL")
		}
	case BadTLS:
		if !a.TLS {
			return failure("%v", err).but("the brokers want TLS: configure it, or use the port for plain text")
		}
		return failure("%v", err).but("the brokers do not accept the handshake, or the client's certificate")
	default:
		return failure("%v", err).but("a broker takes the connection and does not answer: see its log")
	}
	return failure("%v", err)
}

func (a *ask) loggedIn() Result {
	switch {
	case a.Login == "":
		return ok("the brokers answer, without credentials")
	case a.Readable:
		return warning("the brokers accept the credentials (%s), and they are sent in plain text", a.Login).
			but("connect with TLS (--tls), or use SCRAM: whoever sees a packet of the login has the secret")
	}
	return ok("the brokers accept the credentials (%s)", a.Login)
}

func (a *ask) topic(ctx context.Context) Result {
	t, err := a.describe(ctx)
	if err == nil {
		return ok("%s has %d partitions", a.Wishes.Topic, t.Partitions)
	}
	if a.Cause(err) == NotAllowed {
		return failure("%v", err).but("grant this user DESCRIBE and WRITE on the topic %s", a.Wishes.Topic)
	}
	return failure("%v", err)
}

// advertised looks whether the brokers can be reached under the addresses that they tell, which
// are what is used once the first connection is made.
func (a *ask) advertised(ctx context.Context) Result {
	t, err := a.describe(ctx)
	if err != nil {
		return failure("%v", err)
	}
	return some("connected", t.Brokers, func(address string) error {
		if err := a.resolves(ctx, address); err != nil {
			return err
		}
		return a.Connect(ctx, address)
	})
}

func (a *ask) partitions(ctx context.Context) Result {
	t, err := a.describe(ctx)
	switch {
	case err != nil:
		return failure("%v", err)
	case t.Leaderless == t.Partitions:
		return failure("none of %d partitions has a leader", t.Partitions)
	case t.Thin == t.Partitions && a.AllAcks:
		return failure("all of %d partitions have fewer replicas in sync than min.insync.replicas demands", t.Partitions)
	case t.Leaderless > 0 || t.Thin > 0:
		return warning("of %d partitions, %d have no leader and %d too few replicas in sync; the others take their share",
			t.Partitions, t.Leaderless, t.Thin)
	}
	return ok("%d partitions, all with a leader and enough replicas", t.Partitions)
}

func (a *ask) write(ctx context.Context) Result {
	t, err := a.describe(ctx)
	switch {
	case err != nil:
		return failure("%v", err)
	case t.MayWrite == Denied:
		return failure("this user may not WRITE to the topic %s", a.Wishes.Topic)
	case a.AllAcks && t.MayIdempotent == Denied:
		return failure("no identity for an idempotent producer: %s", t.Refused)
	case a.AllAcks && t.MayIdempotent == UnknownRight:
		return warning("no identity for an idempotent producer: %s", t.Refused).but("see the log of the brokers")
	case t.MayWrite == UnknownRight:
		return ok("the brokers do not tell whether this user may write")
	}
	return ok("this user may write to the topic %s", a.Wishes.Topic)
}

// number returns a configuration of the topic that is a number, and whether it is known.
func (t Topic) number(name string) (int64, bool) {
	n, err := strconv.ParseInt(t.Configs[name], 10, 64)
	return n, err == nil
}

func (a *ask) size(ctx context.Context) Result {
	t, err := a.describe(ctx)
	if err != nil {
		return failure("%v", err)
	}
	limit, known := t.number("max.message.bytes")
	switch {
	case !known:
		return a.untold(t)
	case limit < a.BatchSize:
		return warning("max.message.bytes of the topic is %d, and a batch can have %d: larger ones are refused and split",
			limit, a.BatchSize)
	}
	return ok("max.message.bytes of the topic is %d, batches have at most %d", limit, a.BatchSize)
}

// untold is the result where the cluster does not tell the topic's configuration.
func (a *ask) untold(t Topic) Result {
	why := t.Unknown
	if why == "" {
		why = "the brokers do not name it"
	}
	return skipped("the topic's configuration is not known: %s (it takes DESCRIBE_CONFIGS)", why)
}

func (a *ask) timestamps(ctx context.Context) Result {
	t, err := a.describe(ctx)
	if err != nil {
		return failure("%v", err)
	}
	if len(t.Configs) == 0 {
		return a.untold(t)
	}
	if t.Configs["message.timestamp.type"] == "LogAppendTime" {
		return ok("the brokers put their own time into records (LogAppendTime); the packet's is in each record")
	}
	for _, limit := range []struct {
		name string
		want time.Duration
	}{
		{"message.timestamp.before.max.ms", a.MaxAge}, // 0: any age
		{"message.timestamp.difference.max.ms", a.MaxAge},
		{"retention.ms", a.MaxAge},
		{"message.timestamp.after.max.ms", a.MaxAhead},
	} {
		ms, known := t.number(limit.name)
		if !known || ms < 0 {
			continue
		}
		has := milliseconds(ms)
		if has > century {
			continue // as good as none
		}
		if strings.HasSuffix(limit.name, "after.max.ms") {
			if has < limit.want {
				return warning("%s of the topic is %s; records of a clock that is up to %s ahead are refused", limit.name, has, limit.want).
					but("raise it to %d: Kafka's default is an hour", limit.want.Milliseconds())
			}
			continue
		}
		if limit.want == 0 || has < limit.want {
			return warning("%s of the topic is %s, and records keep their time stamps %s: older ones are refused or deleted",
				limit.name, has, until(limit.want))
		}
	}
	return ok("time stamps as they are sent are within the topic's limits")
}

const century = 100 * 365 * 24 * time.Hour

// milliseconds returns ms as a duration, or the longest there is: limits may be 2^63-1 ms.
func milliseconds(ms int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(ms, most)) * time.Millisecond
}

func until(age time.Duration) string {
	if age == 0 {
		return "however old they are"
	}
	return "until they are " + age.String() + " old"
}

func (a *ask) cleanup(ctx context.Context) Result {
	t, err := a.describe(ctx)
	policy := t.Configs["cleanup.policy"]
	switch {
	case err != nil:
		return failure("%v", err)
	case policy == "":
		return a.untold(t)
	case strings.Contains(policy, "compact"):
		return failure("the topic is compacted (cleanup.policy %s)", policy)
	}
	return ok("cleanup.policy is %s", policy)
}

func (a *ask) canary(ctx context.Context) Result {
	where, err := a.Canary(ctx)
	if err == nil {
		return ok("one canary record was acknowledged: %s", where)
	}
	r := failure("the canary was not acknowledged: %v", err)
	switch a.Cause(err) {
	case NotAllowed:
		return r.but("grant this user WRITE on the topic, and IDEMPOTENT_WRITE on the cluster")
	case FewReplicas:
		return r.but("bring the brokers back: fewer replicas are in sync than min.insync.replicas demands")
	case NoLeader:
		return r.but("bring the brokers of the partitions back")
	case Refused:
		return r.but("the topic refuses the record: look at its cleanup.policy, its limits and the policies of the cluster")
	}
	return r
}
