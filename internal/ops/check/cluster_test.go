// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var today = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// caused is an error whose cause is known.
type caused struct {
	Cause
	text string
}

func (c caused) Error() string { return c.text }

// wellCluster is one where all is as it must be, for wishes.
func wellCluster() (Cluster, Wishes, *Topic) {
	topic := &Topic{
		Brokers: []string{"b1.example:9093", "b2.example:9093"}, Partitions: 6, MayWrite: Granted, MayIdempotent: Granted,
		Configs: map[string]string{
			"max.message.bytes": "1048588", "cleanup.policy": "delete", "retention.ms": "604800000",
			"message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": "9223372036854775807",
			"message.timestamp.after.max.ms": "3600000",
		},
	}
	return Cluster{
			Resolve: func(context.Context, string) ([]string, error) { return []string{"192.0.2.1"}, nil },
			Connect: func(context.Context, string) error { return nil },
			Handshake: func(_ context.Context, address string) (Certificate, error) {
				return Certificate{"TLS 1.3", "CN=" + address, today.AddDate(0, 3, 0)}, nil
			},
			Describe: func(context.Context) (Topic, error) { return *topic, nil },
			Canary:   func(context.Context) (string, error) { return "partition 0 in 3ms", nil },
			Cause: func(err error) Cause {
				c, _ := errors.AsType[caused](err)
				return c.Cause
			},
			Now: func() time.Time { return today },
		}, Wishes{
			Brokers: []string{"k1:9093", "k2:9093"}, Topic: "dns", TLS: true, Login: "SCRAM-SHA-512", AllAcks: true,
			BatchSize: 900_061, MaxAge: 24 * time.Hour, MaxAhead: time.Minute, SendCanary: true,
		}, topic
}

func TestAClusterWhereAllIsWell(t *testing.T) {
	c, w, _ := wellCluster()
	lines, worst := made(t, c.Checks(w))
	want := []string{
		"ok names: resolved: k1:9093, k2:9093",
		"ok connect: connected: k1:9093, k2:9093",
		"ok tls: TLS 1.3; the certificate of CN=k1:9093 and those above it are valid until 2027-02-22T12:00:00Z",
		"ok login: the brokers accept the credentials (SCRAM-SHA-512)",
		"ok topic: dns has 6 partitions",
		"ok advertised: connected: b1.example:9093, b2.example:9093",
		"ok partitions: 6 partitions, all with a leader and enough replicas",
		"ok write: this user may write to the topic dns",
		"ok size: max.message.bytes of the topic is 1048588, batches have at most 900061",
		"ok timestamps: time stamps as they are sent are within the topic's limits",
		"ok cleanup: cleanup.policy is delete",
		"ok canary: one canary record was acknowledged: partition 0 in 3ms",
	}
	for i := range lines { // the two brokers answer in any order
		lines[i] = strings.Replace(lines[i], "CN=k2", "CN=k1", 1)
	}
	if diff := cmp.Diff(want, lines); diff != "" || worst != OK {
		t.Errorf("worst %v (-want +got):\n%s", worst, diff)
	}
}

// TestEachThingThatIsWrongWithACluster breaks one thing at a time, and looks at the one line.
func TestEachThingThatIsWrongWithACluster(t *testing.T) {
	type change func(*Cluster, *Wishes, *Topic)
	fails := func(cause Cause) change {
		return func(c *Cluster, _ *Wishes, _ *Topic) {
			c.Describe = func(context.Context) (Topic, error) { return Topic{}, caused{cause, "the error"} }
		}
	}
	without := func(f change) change { // TLS and credentials
		return func(c *Cluster, w *Wishes, t *Topic) {
			f(c, w, t)
			w.TLS, w.Login = false, ""
		}
	}
	config := func(name, value string) change {
		return func(_ *Cluster, _ *Wishes, t *Topic) { t.Configs[name] = value }
	}
	canary := func(cause Cause) change {
		return func(c *Cluster, _ *Wishes, _ *Topic) {
			c.Canary = func(context.Context) (string, error) { return "", caused{cause, "the error"} }
		}
	}
	connects := func(refused ...string) change {
		return func(c *Cluster, _ *Wishes, _ *Topic) {
			c.Connect = func(_ context.Context, address string) error {
				for _, r := range refused {
					if address == r {
						return errors.New(address + ": refused")
					}
				}
				return nil
			}
		}
	}
	for _, c := range []struct {
		name, check string
		wrong       change
		want        string // level, found and a part of the advice
	}{
		{"names that nobody knows", "names", func(c *Cluster, _ *Wishes, _ *Topic) {
			c.Resolve = func(_ context.Context, host string) ([]string, error) {
				return nil, errors.New(host + ": no such host")
			}
		}, "failure names: k1: no such host\nk2: no such host -> check the names"},
		{"one name that nobody knows", "names", func(c *Cluster, _ *Wishes, _ *Topic) {
			c.Resolve = func(_ context.Context, host string) ([]string, error) {
				if host == "k2" {
					return nil, nil
				}
				return []string{"192.0.2.1"}, nil
			}
		}, "warning names: 1 of 2: k2 has no address -> check the names"},
		{"no broker", "connect", connects("k1:9093", "k2:9093"), "failure connect: k1:9093: refused\nk2:9093: refused -> check that the brokers run"},
		{"one broker", "connect", connects("k2:9093"), "warning connect: 1 of 2: k2:9093: refused -> check that the brokers run"},
		{"a handshake that fails", "tls", func(c *Cluster, _ *Wishes, _ *Topic) {
			c.Handshake = func(context.Context, string) (Certificate, error) {
				return Certificate{}, errors.New("expired on Monday")
			}
		}, "failure tls: k1:9093: expired on Monday\nk2:9093: expired on Monday -> check the certificates"},
		{"a certificate that expires soon", "tls", func(c *Cluster, _ *Wishes, _ *Topic) {
			c.Handshake = func(context.Context, string) (Certificate, error) {
				return Certificate{"TLS 1.3", "CN=b", today.Add(80 * time.Hour)}, nil
			}
		}, "warning tls: the certificate of CN=b, or one above it, expires on 2026-11-25T20:00:00Z, in 3 days -> renew it"},
		{"no TLS", "tls", func(_ *Cluster, w *Wishes, _ *Topic) { w.TLS = false }, "ok tls: not configured: the link is plain text"},
		{"a password that is wrong", "login", fails(BadLogin), "failure login: the error -> check user, password and mechanism"},
		{"credentials that are missing", "login", without(fails(BadLogin)), "failure login: the error -> the brokers want credentials: configure SASL"},
		{"TLS that is missing", "login", without(fails(BadTLS)), "failure login: the error -> the brokers want TLS"},
		{"a client certificate that is refused", "login", fails(BadTLS), "failure login: the error -> the brokers do not accept the handshake"},
		{"a broker that does not answer", "login", fails(NoAnswer), "failure login: the error -> a broker takes the connection and does not answer"},
		{"no credentials", "login", func(_ *Cluster, w *Wishes, _ *Topic) { w.Login = "" }, "ok login: the brokers answer, without credentials"},
		{"a password for all to read", "login", func(_ *Cluster, w *Wishes, _ *Topic) { w.Login, w.Readable = "PLAIN", true },
			"warning login: the brokers accept the credentials (PLAIN), and they are sent in plain text -> connect with TLS"},
		{"a missing topic is no bad login", "login", fails(NoTopic), "ok login: the brokers accept"},
		{"a missing topic", "topic", fails(NoTopic), "failure topic: the error -> create the topic dns"},
		{"a topic that is hidden from us", "topic", fails(NotAllowed), "failure topic: the error -> grant this user DESCRIBE and WRITE on the topic dns"},
		{"advertised addresses that do not work here", "advertised", connects("b1.example:9093", "b2.example:9093"),
			"failure advertised: b1.example:9093: refused\nb2.example:9093: refused -> the brokers tell clients these addresses (advertised.listeners)"},
		{"an advertised address that does not resolve", "advertised", func(c *Cluster, _ *Wishes, t *Topic) {
			c.Resolve = func(_ context.Context, host string) ([]string, error) {
				if host == "b2.example" {
					return nil, errors.New("b2.example: no such host")
				}
				return []string{"192.0.2.1"}, nil
			}
		}, "warning advertised: 1 of 2: b2.example: no such host"},
		{"no leader", "partitions", func(_ *Cluster, _ *Wishes, t *Topic) { t.Leaderless = 6 }, "failure partitions: none of 6 partitions has a leader -> bring the brokers"},
		{"too few replicas", "partitions", func(_ *Cluster, _ *Wishes, t *Topic) { t.Thin = 6 }, "failure partitions: all of 6 partitions have fewer replicas"},
		{"some of both", "partitions", func(_ *Cluster, _ *Wishes, t *Topic) { t.Leaderless, t.Thin = 1, 2 }, "warning partitions: of 6 partitions, 1 have no leader and 2 too few"},
		{"no right to write", "write", func(_ *Cluster, _ *Wishes, t *Topic) { t.MayWrite = Denied }, "failure write: this user may not WRITE to the topic dns -> grant this user WRITE"},
		{"no right to be idempotent", "write", func(_ *Cluster, _ *Wishes, t *Topic) { t.MayIdempotent, t.Refused = Denied, "says k1" }, "failure write: no identity for an idempotent producer: says k1 -> grant"},
		{"an identity that did not come", "write", func(_ *Cluster, _ *Wishes, t *Topic) { t.MayIdempotent, t.Refused = UnknownRight, "says k1" }, "warning write: no identity for an idempotent producer: says k1 -> see the log"},
		{"no identity is needed", "write", func(_ *Cluster, w *Wishes, t *Topic) { w.AllAcks, t.MayIdempotent = false, Denied }, "ok write: this user may write"},
		{"rights that an old broker does not tell", "write", func(_ *Cluster, _ *Wishes, t *Topic) { t.MayWrite = UnknownRight }, "ok write: the brokers do not tell"},
		{"a limit below the batches", "size", config("max.message.bytes", "500000"), "warning size: max.message.bytes of the topic is 500000, and a batch can have 900061"},
		{"a configuration that is hidden", "size", func(_ *Cluster, _ *Wishes, t *Topic) { t.Configs, t.Unknown = nil, "says k1" }, "skipped size: the topic's configuration is not known: says k1"},
		{"a configuration that is hidden", "timestamps", func(_ *Cluster, _ *Wishes, t *Topic) { t.Configs = nil }, "skipped timestamps: the topic's configuration is not known: the brokers do not name it"},
		{"a configuration that is hidden", "cleanup", func(_ *Cluster, _ *Wishes, t *Topic) { t.Configs = nil }, "skipped cleanup: "},
		{"the broker's own time", "timestamps", config("message.timestamp.type", "LogAppendTime"), "ok timestamps: the brokers put their own time"},
		{"a window shorter than ours", "timestamps", config("message.timestamp.before.max.ms", "3600000"),
			"warning timestamps: message.timestamp.before.max.ms of the topic is 1h0m0s, and records keep their time stamps until they are 24h0m0s old"},
		{"a window shorter than ours, in the words of Kafka 3", "timestamps", config("message.timestamp.difference.max.ms", "3600000"),
			"warning timestamps: message.timestamp.difference.max.ms of the topic is 1h0m0s"},
		{"a retention shorter than our window", "timestamps", config("retention.ms", "60000"), "warning timestamps: retention.ms of the topic is 1m0s"},
		{"a retention that is endless", "timestamps", config("retention.ms", "-1"), "ok timestamps: "},
		{"any age is kept", "timestamps", func(_ *Cluster, w *Wishes, _ *Topic) { w.MaxAge = 0 },
			"warning timestamps: retention.ms of the topic is 168h0m0s, and records keep their time stamps however old they are"},
		{"a future that is short", "timestamps", config("message.timestamp.after.max.ms", "1000"),
			"warning timestamps: message.timestamp.after.max.ms of the topic is 1s; records of a clock that is up to 1m0s ahead are refused -> raise it to 60000"},
		{"a compacted topic", "cleanup", config("cleanup.policy", "compact,delete"), "failure cleanup: the topic is compacted (cleanup.policy compact,delete) -> set the topic's cleanup.policy"},
		{"a canary that may not", "canary", canary(NotAllowed), "failure canary: the canary was not acknowledged: the error -> grant this user WRITE"},
		{"a canary that nobody keeps", "canary", canary(FewReplicas), "failure canary: the canary was not acknowledged: the error -> bring the brokers back"},
		{"a canary without a leader", "canary", canary(NoLeader), "failure canary: the canary was not acknowledged: the error -> bring the brokers of"},
		{"a canary that is refused", "canary", canary(Refused), "failure canary: the canary was not acknowledged: the error -> the topic refuses"},
		{"a canary that is not answered", "canary", canary(NoAnswer), "failure canary: the canary was not acknowledged: the error -> see what the broker says"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster, wishes, topic := wellCluster()
			c.wrong(&cluster, &wishes, topic)
			lines, _ := made(t, cluster.Checks(wishes))
			for _, line := range lines {
				if strings.Contains(line, " "+c.check+": ") {
					if !strings.HasPrefix(line, c.want) {
						t.Errorf("%q\ndoes not begin with\n%q", line, c.want)
					}
					return
				}
			}
			t.Errorf("no line of %s in %q", c.check, lines)
		})
	}
}

func TestTheClusterIsDescribedOnceAndWrittenToOnlyIfWanted(t *testing.T) {
	c, w, topic := wellCluster()
	asked := 0
	c.Describe = func(context.Context) (Topic, error) { asked++; return *topic, nil }
	c.Canary = func(context.Context) (string, error) { t.Error("the canary was sent"); return "", nil }
	w.SendCanary = false
	if lines, _ := made(t, c.Checks(w)); len(lines) != 11 || asked != 1 {
		t.Errorf("asked %d times: %q", asked, lines)
	}
	c.Canary = func(context.Context) (string, error) { t.Error("the canary was sent"); return "", nil }
	topic.MayWrite, w.SendCanary = Denied, true
	made(t, c.Checks(w))
}
