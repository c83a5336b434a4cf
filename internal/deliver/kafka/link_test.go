// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka/faultproxy"
	"github.com/dnsluice/dnsluice/internal/record"
)

// cluster returns one behind a front.
func cluster(t *testing.T, change func(*Config), brokers int, opts ...kfake.Opt) (*Cluster, *kfake.Cluster, []*faultproxy.Proxy) {
	t.Helper()
	k, p := newFront(t, brokers, append(opts, kfake.SeedTopics(3, topic))...)
	cfg := Config{Brokers: k.ListenAddrs(), Topic: topic, ClientID: "test", RequestTimeout: never}
	if change != nil {
		change(&cfg)
	}
	c, err := NewCluster(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, k, p
}

func open(t *testing.T, c *Cluster) *Client {
	t.Helper()
	cl, err := c.client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// TestAConnectionIsEvidence fills a connection whose other side does not read: what the kernel
// says then is what an operator needs to know whose fault it is.
func TestAConnectionIsEvidence(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux is asked what it knows of a TCP connection: run on Linux")
	}
	c, _, p := cluster(t, nil, 1)
	cl := open(t, c)
	if _, err := cl.Leaders(cl.within(t)); err != nil {
		t.Fatal(err)
	}
	if err := cl.Produce(cl.within(t), 0, 0, newBatch(t, record.None, record.NoProducer, -1, "x")); err != nil {
		t.Fatal(err)
	}
	all := c.Connections()
	if len(all) == 0 {
		t.Fatal("no connection")
	}
	var ports []string
	for _, e := range all {
		ports = append(ports, e.Local)
		if e.Kernel == nil {
			t.Fatalf("the kernel is silent: %s", e.Why)
		}
		if e.Remote != p[0].Addr() || e.Kernel.State != "established" || e.Sent == 0 || e.Received == 0 ||
			e.LastSent.IsZero() || e.LastReceived.IsZero() || e.Since.IsZero() || e.Kernel.RTT <= 0 {
			t.Errorf("%+v, %+v", e, e.Kernel)
		}
	}
	known := all[len(all)-1] // the one for batches
	if known.Broker != 0 {
		t.Errorf("no connection is said to be broker 0's: %+v", all)
	}
	p[0].Set(faultproxy.Up, faultproxy.Rule{Hold: true})
	go cl.Produce(cl.within(t), 0, 0, make([]byte, 16<<20)) // ends with the client
	until(t, "bytes wait in the kernel", func() bool {
		for _, e := range c.Connections() {
			if e.Local == known.Local && e.Kernel != nil && e.Kernel.Queued > 100_000 && e.Kernel.NotSent > 0 {
				return true
			}
		}
		return false
	})
	text, err := json.Marshal(c.Connections())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"broker", "remote", "queued_bytes", "not_sent_bytes", "total_retransmits", "rtt_ns", "since_received_ns"} {
		if !strings.Contains(string(text), `"`+key+`"`) {
			t.Errorf("%s is not in %s", key, text)
		}
	}
	cl.Close()
	until(t, "all are closed", func() bool { return len(c.Connections()) == 0 })
	if len(ports) < 2 {
		t.Errorf("connections %v", ports)
	}
}

func TestAcks(t *testing.T) {
	for _, a := range []struct {
		acks Acks
		want int16
	}{{AcksAll, -1}, {AcksLeader, 1}, {AcksNone, 0}} {
		k, w := newCluster(t, 1, kfake.SeedTopics(1, topic))
		asked := make(chan int16, 9)
		w.set(func() {
			w.ask = func(_ int, key kmsg.Key, frame []byte) move {
				if key == kmsg.Produce {
					asked <- acksOf(t, frame)
				}
				return pass
			}
		})
		cl, err := New(Config{Brokers: k.ListenAddrs(), Topic: topic, RequestTimeout: never, Acks: a.acks})
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		if _, err := cl.Leaders(cl.within(t)); err != nil {
			t.Fatal(err)
		}
		batch := newBatch(t, record.None, record.NoProducer, -1, "x")
		for range 3 {
			if err := cl.Produce(cl.within(t), 0, 0, batch); err != nil {
				t.Errorf("acks %d: %v", a.want, err)
			}
		}
		if a.acks == AcksNone {
			clear(batch) // which is allowed as soon as Produce returned
		}
		if n := len(readAll(t, k.ListenAddrs(), 3)); n != 3 {
			t.Errorf("acks %d: %d records", a.want, n)
		}
		if diff := cmp.Diff([]int16{a.want, a.want, a.want}, []int16{<-asked, <-asked, <-asked}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// acksOf returns the acks of a produce request.
func acksOf(t *testing.T, frame []byte) int16 {
	req := kmsg.NewPtrProduceRequest()
	version := int16(frame[6])<<8 | int16(frame[7])
	req.SetVersion(version)
	body := frame[12:] // size, key, version, correlation id
	if n := int(int16(body[0])<<8 | int16(body[1])); n > 0 {
		body = body[n:]
	}
	body = body[2:]
	if req.IsFlexible() {
		body = body[1:]
	}
	if err := req.ReadFrom(body); err != nil {
		t.Error(err)
	}
	return req.Acks
}

// TestWithoutAcksAFailureIsNotASend: a batch that could not be written may be tried again.
func TestWithoutAcksAFailureIsNotASend(t *testing.T) {
	c, _, p := cluster(t, func(c *Config) { c.Acks = AcksNone }, 1)
	cl := open(t, c)
	if _, err := cl.Leaders(cl.within(t)); err != nil {
		t.Fatal(err)
	}
	p[0].Refuse()
	p[0].Break(faultproxy.RST)
	batch := newBatch(t, record.None, record.NoProducer, -1, "x")
	err := cl.Produce(cl.within(t), 0, 0, batch)
	if f := faultOf(t, err); f.Verdict != deliver.Unsent || f.State != deliver.Unreachable {
		t.Errorf("%s, verdict %d: %v", f.State, f.Verdict, err)
	}
}

func TestProbe(t *testing.T) {
	c, k, p := cluster(t, nil, 2)
	ctx := t.Context()
	if err := c.Probe(ctx); err != nil {
		t.Fatal(err)
	}
	before := p[0].Stats().Accepted + p[1].Stats().Accepted
	if err := c.Probe(ctx); err != nil {
		t.Fatal(err)
	}
	if after := p[0].Stats().Accepted + p[1].Stats().Accepted; after <= before {
		t.Errorf("%d connections before and %d after: a probe makes its own", before, after)
	}
	until(t, "a probe leaves no connection", func() bool { return len(c.Connections()) == 0 })
	state := func(want deliver.State) {
		t.Helper()
		if f := faultOf(t, c.Probe(ctx)); f.State != want {
			t.Errorf("%+v, want %s", f, want)
		}
	}
	if err := k.DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	state(deliver.TopicMissing)
	if err := k.CreateTopic(topic, 1, nil); err != nil {
		t.Fatal(err)
	}
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Err: kerr.TopicAuthorizationFailed, Topic: topic})
	state(deliver.Unauthorized)
	for _, proxy := range p {
		proxy.Refuse()
	}
	state(deliver.Unreachable)
}

func TestAProbeWantsALeaderThatTakesConnections(t *testing.T) {
	c, k, p := cluster(t, func(c *Config) { c.Brokers = c.Brokers[:1] }, 2)
	for i := range int32(3) {
		if err := k.MoveTopicPartition(topic, i, 1); err != nil {
			t.Fatal(err)
		}
	}
	p[1].Refuse()
	f := faultOf(t, c.Probe(t.Context()))
	if f.State != deliver.Unreachable || f.Where != "broker 1" {
		t.Errorf("%+v", f)
	}
	if err := k.MoveTopicPartition(topic, 2, 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Probe(t.Context()); err != nil {
		t.Errorf("one leader is enough: %v", err)
	}
}

func TestEachProducerHasConnectionsOfItsOwn(t *testing.T) {
	c, _, _ := cluster(t, nil, 1)
	first, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for _, p := range []deliver.Producer{first, second} {
		if _, err := p.Leaders(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	before := len(c.Connections())
	first.Close()
	if after := len(c.Connections()); before < 2 || after >= before || after == 0 {
		t.Errorf("%d connections, %d after one was closed", before, after)
	}
	if _, err := second.Leaders(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDescribe(t *testing.T) {
	c, k, _ := cluster(t, nil, 3)
	d, err := c.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Brokers) != 3 || d.Brokers[2].ID != 2 || d.Brokers[0].Host != "127.0.0.1" || d.Brokers[0].Port == 0 || d.ClusterID == "" {
		t.Errorf("%+v", d)
	}
	if len(d.Partitions) != 3 {
		t.Fatalf("%+v", d.Partitions)
	}
	for i, p := range d.Partitions {
		if p.ID != int32(i) || p.Leader != k.LeaderFor(topic, p.ID) || len(p.Replicas) == 0 || len(p.InSync) == 0 {
			t.Errorf("%+v", p)
		}
	}
	if n, ok := d.Topic.Number("max.message.bytes"); !ok || n <= 0 || d.ConfigsError != "" {
		t.Errorf("%v, %s", d.Topic, d.ConfigsError)
	}
	if _, ok := d.Topic.Number("cleanup.policy"); ok {
		t.Error("a policy is no number")
	}
	if d.Write != Granted || d.Idempotent != Granted {
		t.Errorf("%+v", d)
	}
}

func TestDescribeTellsRights(t *testing.T) {
	sasl := func(c *Config) {
		c.SASL = &SASL{Mechanism: Plain, User: "sensor", Password: fixed("x")}
	}
	may := func(op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: topic, Operation: op,
			Pattern: kmsg.ACLResourcePatternTypeLiteral, Allow: true}
	}
	for _, r := range []struct {
		name  string
		acls  []kfake.ACL
		write Permission
	}{
		{"only to look", []kfake.ACL{may(kmsg.ACLOperationDescribe)}, Denied},
		{"to write", []kfake.ACL{may(kmsg.ACLOperationDescribe), may(kmsg.ACLOperationWrite)}, Granted},
	} {
		t.Run(r.name, func(t *testing.T) {
			c, _, _ := cluster(t, sasl, 1, kfake.EnableSASL(), kfake.EnableACLs(),
				kfake.User(Plain, "sensor", "x", r.acls...))
			d, err := c.Describe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d.Write != r.write || d.ConfigsError == "" || len(d.Topic) > 0 {
				t.Errorf("%+v", d)
			}
			_, err = c.Canary(t.Context(), []byte("canary"))
			if r.write == Denied {
				if f := faultOf(t, err); f.State != deliver.Unauthorized {
					t.Errorf("canary: %+v", f)
				}
			} else if err != nil {
				t.Errorf("canary: %v", err)
			}
		})
	}
}

func TestCanary(t *testing.T) {
	for _, acks := range []Acks{AcksAll, AcksLeader, AcksNone} {
		c, k, _ := cluster(t, func(c *Config) { c.Acks = acks }, 2)
		got, err := c.Canary(t.Context(), []byte("the canary"))
		if err != nil {
			t.Fatal(err)
		}
		if got.Broker != k.LeaderFor(topic, got.Partition) || got.Took <= 0 {
			t.Errorf("%+v", got)
		}
		r, err := c.Reader()
		if err != nil {
			t.Fatal(err)
		}
		all := readFrom(t, r, 1)
		r.Close()
		if string(all[0].Value) != "the canary" || all[0].Partition != got.Partition ||
			time.Since(time.UnixMilli(all[0].Time)) > time.Minute {
			t.Errorf("%+v", all)
		}
	}
	c, _, _ := cluster(t, nil, 1)
	if _, err := c.Canary(t.Context(), make([]byte, 2_000_000)); err == nil {
		t.Error("a broker takes 1 MB")
	} else if f := faultOf(t, err); f.Verdict != deliver.Rejected || f.Reason != deliver.TooLarge {
		t.Errorf("%+v", f)
	}
}
