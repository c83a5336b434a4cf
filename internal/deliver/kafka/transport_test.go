// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/record"
	"github.com/dnsluice/dnsluice/test/need"
)

// The time-outs of requests. Where nothing is to be waited for, there is time for a machine that
// has other things to do.
const (
	soon  = 500 * time.Millisecond // for the end of the time; the client takes no less than 300 ms
	late  = 2 * time.Second        // for the end of a dial, half of that
	never = 20 * time.Second
)

// onKey returns a wire's ask that does what to requests of that key at node 1, and passes the
// rest.
func onKey(key kmsg.Key, what move) func(int, kmsg.Key, []byte) move {
	return func(node int, k kmsg.Key, _ []byte) move {
		if node == 1 && k == key {
			return what
		}
		return pass
	}
}

// onAnswer is the same for answers.
func onAnswer(key kmsg.Key, what move) func(int, kmsg.Response) move {
	return func(node int, resp kmsg.Response) move {
		if node == 1 && resp.Key() == int16(key) {
			return what
		}
		return pass
	}
}

func asks(ask func(int, kmsg.Key, []byte) move) func(*testing.T, *wire) {
	return func(_ *testing.T, w *wire) { w.set(func() { w.ask = ask }) }
}

func answers(answer func(int, kmsg.Response) move) func(*testing.T, *wire) {
	return func(_ *testing.T, w *wire) { w.set(func() { w.answer = answer }) }
}

// move makes node appear at another port of the loopback interface.
func (w *wire) move(node int32, address string) {
	at := netip.MustParseAddrPort(address)
	w.set(func() {
		w.answer = func(_ int, resp kmsg.Response) move {
			if m, ok := resp.(*kmsg.MetadataResponse); ok {
				for i := range m.Brokers {
					if m.Brokers[i].NodeID == node {
						m.Brokers[i].Port = int32(at.Port())
					}
				}
			}
			return pass
		}
	})
}

// unlisted leaves node 1 out of the brokers, and lets it lead.
func unlisted(_ int, resp kmsg.Response) move {
	if m, ok := resp.(*kmsg.MetadataResponse); ok {
		m.Brokers = slices.DeleteFunc(m.Brokers, func(b kmsg.MetadataResponseBroker) bool { return b.NodeID == 1 })
	}
	return pass
}

// TestWhatHappenedToABatchWhenNoAnswerCame is about the one question that matters then: may the
// broker have it? Node 1 leads the partition and is in trouble, node 0 is well.
func TestWhatHappenedToABatchWhenNoAnswerCame(t *testing.T) {
	for _, c := range []struct {
		name    string
		timeout time.Duration
		trouble func(t *testing.T, w *wire) // before the client knows the brokers
		state   deliver.State
		verdict deliver.Verdict
		there   int64 // records in the log
	}{
		{"the dial is refused", never, func(_ *testing.T, w *wire) { w.down(1) },
			deliver.Unreachable, deliver.Unsent, 0},
		{"the dial is not answered", late, func(t *testing.T, w *wire) { w.move(1, unanswered(t)) },
			deliver.Unreachable, deliver.Unsent, 0},
		{"the dial is answered and the connection closed", never, func(t *testing.T, w *wire) { w.move(1, closing(t)) },
			deliver.Unreachable, deliver.Unsent, 0},
		{"the connection is taken and nothing is answered", soon, asks(onKey(kmsg.ApiVersions, hang)),
			deliver.NoAnswer, deliver.Unsent, 0},
		{"the batch is read and nothing is answered", soon, asks(onKey(kmsg.Produce, hang)),
			deliver.NoAnswer, deliver.Unknown, 0},
		{"the batch is appended and nothing is answered", late, answers(onAnswer(kmsg.Produce, hang)),
			deliver.NoAnswer, deliver.Unknown, 1},
		{"the connection is cut while the batch is read", never, asks(onKey(kmsg.Produce, cut)),
			deliver.Unreachable, deliver.Unknown, 0},
		{"the connection is cut after the append", never, answers(onAnswer(kmsg.Produce, cut)),
			deliver.Unreachable, deliver.Unknown, 1},
		{"the connection is cut in the middle of the answer", never, answers(onAnswer(kmsg.Produce, half)),
			deliver.Unreachable, deliver.Unknown, 1},
		{"the cluster does not list the leader", never, answers(unlisted), deliver.NoLeaderState, deliver.Unsent, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k, w := newCluster(t, 2, kfake.SeedTopics(1, topic))
			seed := k.ListenAddrs()[0]
			if err := k.MoveTopicPartition(topic, 0, 1); err != nil {
				t.Fatal(err)
			}
			c.trouble(t, w)
			cl := newClient(t, c.timeout, seed)
			if _, err := cl.Leaders(t.Context()); err != nil {
				t.Fatal(err)
			}
			err := cl.Produce(cl.within(t), 1, 0, newBatch(t, record.None, record.NoProducer, -1, "x"))
			f := faultOf(t, err)
			if f.State != c.state || f.Verdict != c.verdict {
				t.Errorf("%s, verdict %d: %v", f.State, f.Verdict, err)
			}
			if there := k.PartitionInfo(topic, 0).HighWatermark; there != c.there {
				t.Errorf("%d records are there, want %d", there, c.there)
			}
		})
	}
}

// TestABatchThatWaitsBehindAnotherWasNotSent: the client writes to a broker one request after the
// other. The first batch is larger than what sockets hold, the second never gets its turn.
func TestABatchThatWaitsBehindAnotherWasNotSent(t *testing.T) {
	k, w := newCluster(t, 1, kfake.SeedTopics(1, topic))
	cl := newClient(t, 20*time.Second, k.ListenAddrs()...)
	if _, err := cl.Leaders(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.set(func() {
		w.ask = func(_ int, key kmsg.Key, _ []byte) move {
			if key == kmsg.Produce {
				return hang // and reads nothing more
			}
			return pass
		}
	})
	ahead := make(chan bool, 2)
	enough, stop := context.WithCancel(t.Context())
	defer stop()
	for _, batch := range [][]byte{{1}, make([]byte, 32<<20)} {
		req, parts := cl.requestOf(batch)
		go func() {
			cl.cl.Broker(0).Request(enough, req)
			ahead <- req.revoke(parts[0])
		}()
		until(t, "the client writes", func() bool {
			req.mu.Lock()
			defer req.mu.Unlock()
			return parts[0].written
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := cl.Produce(ctx, 0, 0, newBatch(t, record.None, record.NoProducer, -1, "x"))
	if f := faultOf(t, err); f.State != deliver.NoAnswer || f.Verdict != deliver.Unsent {
		t.Errorf("%s, verdict %d: %v", f.State, f.Verdict, err)
	}
	stop()
	if first, second := <-ahead, <-ahead; !first || !second {
		t.Error("what was written counts as not written")
	}
}

// TestABatchThatFailsWithAnotherHasItsReason: when one batch waits in vain, the client closes the
// connection under all others. What there is to say about them is not that the connection was lost.
func TestABatchThatFailsWithAnotherHasItsReason(t *testing.T) {
	k, w := newCluster(t, 1, kfake.SeedTopics(2, topic))
	cl := newClient(t, 20*time.Second, k.ListenAddrs()...)
	if _, err := cl.Leaders(t.Context()); err != nil {
		t.Fatal(err)
	}
	arrived := make(chan int32, 2)
	w.set(func() {
		w.answer = func(_ int, resp kmsg.Response) move {
			if p, ok := resp.(*kmsg.ProduceResponse); ok {
				arrived <- p.Topics[0].Partitions[0].Partition
				return hang
			}
			return pass
		}
	})
	first, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	errs := make(chan error, 2)
	for p, ctx := range []context.Context{first, t.Context()} {
		batch := newBatch(t, record.None, record.NoProducer, -1, "x")
		go func() { errs <- cl.Produce(ctx, 0, int32(p), batch) }()
		<-arrived // so the second is behind the first
	}
	for range 2 {
		err := <-errs
		if f := faultOf(t, err); f.State != deliver.NoAnswer || f.Verdict != deliver.Unknown {
			t.Errorf("%s, verdict %d: %v", f.State, f.Verdict, err)
		}
	}
}

// TestADialThatNobodyWaitsForSaysNothing: the last batch of its request had no more time.
func TestADialThatNobodyWaitsForSaysNothing(t *testing.T) {
	cl := newClient(t, never, unanswered(t))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	node := kgo.BrokerMetadata{NodeID: 1}
	gone, end := context.WithCancel(t.Context())
	context.AfterFunc(ctx, end)
	conn, err := cl.link.dial(gone, "tcp", cl.cfg.Brokers[0])
	cl.seen.OnBrokerConnect(node, 50*time.Millisecond, conn, err)
	if told := cl.seen.connecting(node.NodeID, ctx.Err()); told != ctx.Err() {
		t.Errorf("the dial failed with %v, and that is told: %v", err, told)
	}
}

// TestAWriteThatNobodyWaitsForIsNoLostConnection: a broker that reads no more holds up a write. The
// client gives it up, and closes the connection under the batches that wait for their answers.
func TestAWriteThatNobodyWaitsForIsNoLostConnection(t *testing.T) {
	cl := newClient(t, never, "127.0.0.1:1")
	node := kgo.BrokerMetadata{NodeID: 1}
	closed := &net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}
	for write, want := range map[error]deliver.State{
		context.Canceled: deliver.NoAnswer,
		&net.OpError{Op: "write", Net: "tcp", Err: os.ErrDeadlineExceeded}: deliver.NoAnswer,
		&net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}:          deliver.Unreachable,
	} {
		cl.seen.OnBrokerWrite(node, keyProduce, 0, 0, 0, write)
		cl.seen.OnBrokerRead(node, keyProduce, 0, 0, 0, closed)
		for _, err := range []error{closed, errors.New("the client calls it dead")} {
			f := cl.brokerFault(node.NodeID, err, deliver.Unknown, "")
			if f.State != want {
				t.Errorf("%v, after a write that ended with %v: %s", err, write, f.State)
			}
		}
	}
}

func TestWhyTheClusterIsNotReached(t *testing.T) {
	closed := func(t *testing.T) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		return ln.Addr().String()
	}
	for _, c := range []struct {
		name    string
		timeout time.Duration
		brokers func(t *testing.T) []string
		state   deliver.State
		words   string
	}{
		{"nobody listens", never, func(t *testing.T) []string {
			return []string{closed(t)}
		}, deliver.Unreachable, ""},
		{"nobody answers the dial", late, func(t *testing.T) []string {
			return []string{unanswered(t)}
		}, deliver.Unreachable, ""},
		{"no name resolves", never, func(*testing.T) []string {
			return []string{"no..such..name:9092"} // no name at all, so no server is asked
		}, deliver.Unresolvable, ""},
		{"a load balancer takes and closes", never, func(t *testing.T) []string {
			k, w := newCluster(t, 1)
			w.set(func() { w.refusing = true })
			return k.ListenAddrs()
		}, deliver.Unreachable, "is TLS expected on this port?"},
		{"the broker takes and says nothing", soon, func(t *testing.T) []string {
			k, w := newCluster(t, 1)
			w.set(func() { w.ask = func(int, kmsg.Key, []byte) move { return hang } })
			return k.ListenAddrs()
		}, deliver.NoAnswer, ""},
		{"the broker hears and says nothing about topics", soon, func(t *testing.T) []string {
			k, w := newCluster(t, 1)
			w.set(func() { w.answer = func(int, kmsg.Response) move { return hang } })
			return k.ListenAddrs()
		}, deliver.NoAnswer, ""},
		{"the broker wants credentials", never, func(t *testing.T) []string {
			k, _ := newCluster(t, 1, kfake.EnableSASL())
			return k.ListenAddrs()
		}, deliver.AuthFailed, ""},
		{"the broker wants TLS and closes", never, func(t *testing.T) []string {
			k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(certificate(t)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(k.Close)
			return k.ListenAddrs()
		}, deliver.Unreachable, "is TLS expected on this port?"},
		{"the broker wants TLS and says so", never, func(t *testing.T) []string {
			return []string{alerting(t)}
		}, deliver.TLSFailed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cl := newClient(t, c.timeout, c.brokers(t)...)
			_, err := cl.Leaders(cl.within(t))
			f := faultOf(t, err)
			if f.State != c.state || f.Verdict != deliver.Unsent || !strings.Contains(f.Error(), c.words) {
				t.Errorf("%s, verdict %d: %v", f.State, f.Verdict, err)
			}
			_, err = cl.Identity(cl.within(t))
			if f := faultOf(t, err); f.State != c.state || f.Verdict != deliver.Unsent || !strings.Contains(f.Error(), c.words) {
				t.Errorf("identity: %s, verdict %d: %v", f.State, f.Verdict, err)
			}
		})
	}
}

// unanswered returns an address whose queue of connections is full: the kernel drops what comes,
// as a filter does.
func unanswered(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	t.Cleanup(func() { f.Close() })
	loopback := &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := errors.Join(syscall.Bind(fd, loopback), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}
	for dials, silent := 0, 0; dials < 16; dials++ {
		conn, err := net.DialTimeout("tcp", addr.String(), 50*time.Millisecond)
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			continue
		}
		if silent++; silent == 2 { // one may be for want of time
			return addr.String()
		}
	}
	need.Cannot(t, "the kernel answers every dial: run on Linux, whose queue of connections is bounded")
	return ""
}

// certificate returns a server's configuration that no client trusts.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates}
}

// alerting returns the address of a server that answers plain text as the Java TLS engine does,
// with an alert, "unexpected message", and closes.
func alerting(t *testing.T) string {
	return serve(t, func(conn net.Conn) {
		readFrame(conn)
		conn.Write([]byte{21, 3, 3, 0, 2, 2, 10})
		conn.Close()
	})
}

// closing returns the address of a load balancer that has nothing behind it.
func closing(t *testing.T) string { return serve(t, func(conn net.Conn) { conn.Close() }) }

func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			handle(conn)
		}
	}()
	return ln.Addr().String()
}
