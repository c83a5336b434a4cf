// SPDX-License-Identifier: Apache-2.0

// Package kafka is the only place that knows a Kafka client. It gives deliver one topic of a
// cluster, through the request layer of franz-go: connections, API versions, routing. Its
// produce path is not used; what is sent, when, and how often is decided in deliver.
package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/record"
)

var (
	_ deliver.Producer  = (*Client)(nil)
	_ deliver.Throttler = (*Client)(nil)
	_ deliver.Reacher   = (*Client)(nil)
	_ deliver.Cluster   = (*Cluster)(nil)
)

// Config says which topic of which cluster, and how to get there.
type Config struct {
	Brokers        []string // host:port; some of them suffice
	Topic          string
	ClientID       string
	RequestTimeout time.Duration // of one request, connecting included
	Acks           Acks
	TLS            *TLS  // nil: plain text
	SASL           *SASL // nil: nobody in particular

	// In tests, these replace the network and the clock that certificates and tokens are judged by.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	now  func() time.Time
}

// Acks is who must have a batch before it counts as delivered.
type Acks uint8

// Who that can be. Idempotence needs the first; the others are for at-most-once.
const (
	AcksAll    Acks = iota // all in-sync replicas
	AcksLeader             // the leader alone; lost when it is, before the others have it
	AcksNone               // nobody: a batch counts when the kernel has taken its bytes
)

// wire returns the number in a request.
func (a Acks) wire() int16 {
	switch a {
	case AcksLeader:
		return 1
	case AcksNone:
		return 0
	case AcksAll:
	}
	return -1
}

func (c Config) validate() error {
	switch {
	case c.Topic == "":
		return errors.New("kafka: no topic: name one with --topic")
	case len(c.Brokers) == 0:
		return errors.New("kafka: no brokers: name some with --brokers host:port,host:port")
	case c.Acks > AcksNone:
		return fmt.Errorf("kafka: there is no acks %d", c.Acks)
	}
	if c.TLS != nil {
		if err := c.TLS.Validate(); err != nil {
			return err
		}
	}
	if c.SASL != nil {
		return c.SASL.Validate()
	}
	return nil
}

// Cluster is a topic of a cluster, from which clients come. What outlives a client is kept here:
// open connections, tokens, the pauses that brokers asked for, how far the topic has come. It is safe
// for concurrent use.
type Cluster struct {
	cfg   Config
	link  *link
	reach *reach
	auth  []kgo.Opt // none without SASL
}

// NewCluster returns a cluster. It connects to nobody and reads no file.
func NewCluster(cfg Config) (*Cluster, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.now == nil {
		cfg.now = time.Now
	}
	c := &Cluster{cfg: cfg, link: newLink(cfg), reach: &reach{}}
	if cfg.SASL != nil {
		m, err := cfg.SASL.mechanism(cfg)
		if err != nil {
			return nil, err
		}
		c.auth = []kgo.Opt{kgo.SASL(m)}
	}
	return c, nil
}

// Open implements deliver.Cluster.
func (c *Cluster) Open() (deliver.Producer, error) { return c.client() }

// mostAnswer is more than a cluster has to say of a topic with a hundred thousand partitions. What
// claims to be larger is none, and might take all the memory that there is.
const mostAnswer = 16 << 20

// Connections returns the evidence about every connection that is open now.
func (c *Cluster) Connections() []Connection { return c.link.connections() }

// Pause returns which broker wants the longest pause because of a quota, and how long that still
// is; 0 when none does.
func (c *Cluster) Pause() (node int32, pause time.Duration) { return c.link.longest() }

// Client is one topic of a cluster. It is safe for concurrent use.
type Client struct {
	cfg     Config
	cl      *kgo.Client
	link    *link
	reach   *reach
	seen    *seen
	closed  atomic.Bool
	topicID atomic.Pointer[[16]byte] // since Produce v13, topics are named by id (KIP-516)

	mu       sync.Mutex         // guards the following
	couriers map[int32]*courier // by node
}

// New returns a client of a cluster of its own. It connects to nobody yet, so the cluster need
// not be there.
func New(cfg Config) (*Client, error) {
	c, err := NewCluster(cfg)
	if err != nil {
		return nil, err
	}
	return c.client()
}

// options are those of every client: how to get there, and who we are.
func (c *Cluster) options() []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(c.cfg.Brokers...),
		kgo.ClientID(c.cfg.ClientID),
		kgo.SoftwareNameAndVersion("dnsluice", "1"),
		kgo.Dialer(c.link.dial),
		kgo.DisableClientMetrics(),
	}, c.auth...)
}

func (c *Cluster) client() (*Client, error) {
	cfg, seen := c.cfg, newSeen(c.link)
	opts := append(c.options(),
		kgo.WithHooks(seen),
		// Batches have the format of 0.11 (KIP-98); an older broker would take them for rubbish.
		kgo.MinVersions(kversion.V0_11_0()),
		// A request that the cluster may take time for is given 2/3 of the time-out, and the
		// connection is given up when it is over: then nothing queues behind a dead one.
		kgo.RequestTimeoutOverhead(cfg.RequestTimeout/3),
		// Retrying is deliver's business. A few tries let one look-up pass by dead seeds.
		kgo.RequestRetries(len(cfg.Brokers)),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		// The client sets aside what an answer says to be its size. Nothing is fetched with it.
		kgo.BrokerMaxReadBytes(mostAnswer), kgo.FetchMaxBytes(mostAnswer),
	)
	if cfg.Acks == AcksNone {
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka: brokers %v: %w", cfg.Brokers, err)
	}
	return &Client{cfg: cfg, cl: cl, link: c.link, reach: c.reach, seen: seen,
		couriers: map[int32]*courier{}}, nil
}

// Connections returns the evidence about every connection that is open now.
func (c *Client) Connections() []Connection { return c.link.connections() }

// Throttled implements deliver.Throttler.
func (c *Client) Throttled() time.Time {
	_, pause := c.link.longest()
	if pause == 0 {
		return time.Time{}
	}
	return c.link.now().Add(pause)
}

// Close implements deliver.Producer.
func (c *Client) Close() {
	c.closed.Store(true)
	c.cl.Close()
}

// Leaders implements deliver.Producer.
func (c *Client) Leaders(ctx context.Context) ([]int32, error) {
	_, topic, err := c.metadata(ctx, c.metadataRequest())
	if err != nil {
		return nil, err
	}
	leaders := make([]int32, len(topic.Partitions))
	for i := range leaders {
		leaders[i] = deliver.NoLeader
	}
	for _, p := range topic.Partitions {
		if p.Partition >= 0 && int(p.Partition) < len(leaders) {
			leaders[p.Partition] = p.Leader
		}
	}
	c.topicID.Store(&topic.TopicID)
	return leaders, nil
}

func (c *Client) topicName() string { return fmt.Sprintf("topic %q", c.cfg.Topic) }

// Identity implements deliver.Producer.
func (c *Client) Identity(ctx context.Context) (record.Producer, error) {
	req := kmsg.NewPtrInitProducerIDRequest() // no transactional id
	req.ProducerID, req.ProducerEpoch = -1, -1
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return record.NoProducer, c.clusterFault(err)
	}
	if resp.ErrorCode != 0 {
		f := codeFault(resp.ErrorCode, "producer id")
		f.Verdict = deliver.Unsent // no batch was looked at
		return record.NoProducer, f
	}
	return record.Producer{ID: resp.ProducerID, Epoch: resp.ProducerEpoch}, nil
}

// patient is for how long Produce waits when a broker has asked for a pause. A longer one is said
// to the caller: another partition may have a broker that wants none.
const patient = time.Second

// errPause is what a broker asked for.
type errPause struct{ left time.Duration }

func (e errPause) Error() string {
	return fmt.Sprintf("throttled: the broker's quota asks for a pause of %v more",
		e.left.Round(time.Millisecond))
}

// Produce implements deliver.Producer. Batches for one node may share a request. With AcksNone each
// has its own, and Produce returns nil when the kernel has taken it; a broker's opinion of it is
// never known.
func (c *Client) Produce(ctx context.Context, node, partition int32, batch []byte) error {
	for {
		if err := c.breathe(ctx, node); err != nil {
			return &deliver.Fault{State: deliver.Throttled, Verdict: deliver.Unsent,
				Where: where(node, partition), Err: err}
		}
		if c.cfg.Acks == AcksNone {
			return c.throw(ctx, node, partition, batch)
		}
		if err := c.courier(node).carry(ctx, partition, batch); err != errPaused {
			return err
		}
	}
}

// breathe waits while node wants a pause, and returns an error when that is a long one. The
// client would wait with the batch on its way, until its time is over, and then close the
// connection, and with it forget the pause.
func (c *Client) breathe(ctx context.Context, node int32) error {
	pause := c.link.pause(node)
	if pause == 0 {
		return nil
	}
	if pause > patient {
		return errPause{pause}
	}
	over := time.NewTimer(pause)
	defer over.Stop()
	select {
	case <-over.C:
		return nil
	case <-ctx.Done():
		return errPause{c.link.pause(node)}
	}
}

// throw sends a batch that nobody will acknowledge. Only for a request of its own type does the
// client know that no answer comes, and such a one cannot be revoked: so it gets a copy.
func (c *Client) throw(ctx context.Context, node, partition int32, batch []byte) error {
	req := c.emptyRequest()
	addBatch(req, partition, bytes.Clone(batch))
	_, err := c.cl.Broker(int(node)).Request(ctx, req)
	if err == nil {
		return nil
	}
	// A write that failed did not bring the whole request to the broker. One that was not waited
	// for may yet.
	verdict := deliver.Unsent
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		verdict = deliver.Unknown
	}
	return c.brokerFault(node, err, verdict, where(node, partition))
}
