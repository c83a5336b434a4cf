// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/pcapfile"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/packet"
	"github.com/dnsluice/dnsluice/test/netns"
)

// frames returns the Ethernet frames of a capture.
func frames(t *testing.T, file string) [][]byte {
	t.Helper()
	src := pcapfile.New(file)
	defer src.Close()
	var all [][]byte
	for {
		var p packet.Packet
		switch err := src.Next(&p); err {
		case nil:
			all = append(all, append([]byte(nil), p.Data...))
		case capture.ErrIdle:
		case io.EOF:
			return all
		default:
			t.Fatal(err)
		}
	}
}

// live is a running sensor on near, and what comes out of it.
type live struct {
	t       *testing.T
	s       *Sensor
	brokers []string
	reader  *kafka.Reader
	got     int
	stop    context.CancelFunc
	ran     chan error
}

func startLive(t *testing.T) *live {
	t.Helper()
	return startLiveWith(t, func(*Config) {})
}

func startLiveWith(t *testing.T, change func(*Config)) *live {
	t.Helper()
	l := &live{t: t, brokers: broker(t), ran: make(chan error, 1)}
	cfg := settings()
	cfg.Interfaces, cfg.RingSize = []string{"near"}, 2<<20
	change(&cfg)
	l.s = build(t, cfg, l.brokers, quiet)
	if err := l.s.Open(); err != nil {
		t.Fatal(err)
	}
	reader, err := kafka.NewReader(l.brokers, topic)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	l.reader = reader
	ctx, cancel := context.WithCancel(t.Context())
	l.stop = cancel
	go func() { l.ran <- l.s.Run(ctx) }()
	return l
}

// sendUntil sends a frame again and again until a record comes. The kernel drops what is sent
// before an interface is really up, and what comes before the capture is.
func (l *live) sendUntil(frame []byte) {
	l.t.Helper()
	fd, before := netns.Sender(l.t, "far"), l.got
	for end := time.Now().Add(patience); l.got == before; {
		if _, err := unix.Write(fd, frame); err != nil && err != unix.ENETDOWN {
			l.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(l.t.Context(), 100*time.Millisecond)
		records, _ := l.reader.Read(ctx)
		cancel()
		l.got += len(records)
		if time.Now().After(end) {
			l.t.Fatalf("no record comes: %+v", l.s.Ledger())
		}
	}
}

// end drains the sensor and compares the ledger with the topic.
func (l *live) end() []sent {
	l.t.Helper()
	l.stop()
	if err := <-l.ran; err != nil {
		l.t.Error(err)
	}
	back := readBack(l.t, l.brokers)
	complete(l.t, l.s.Ledger(), back)
	return back
}

func TestKernelPacketsBecomeRecords(t *testing.T) {
	if !netns.Again(t) {
		return
	}
	netns.Veth(t)
	l := startLive(t)
	all := frames(t, own(t, "bind-types.pcap")[0])
	l.sendUntil(all[0])
	fd := netns.Sender(t, "far")
	for _, f := range all {
		if _, err := unix.Write(fd, f); err != nil {
			t.Fatal(err)
		}
	}
	// The records of the capture, as they are without Kafka, beginning at the id: times and the
	// interface differ.
	want := map[string]int{}
	for _, r := range printedRecords(t, own(t, "bind-types.pcap")[0]) {
		want[fromID(r)]++
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(want) > 0 {
		records, err := l.reader.Read(ctx)
		if err != nil {
			t.Fatalf("%v; these do not come: %v", err, want)
		}
		for _, r := range records {
			message := fromID(string(r.Value))
			if want[message]--; want[message] <= 0 {
				delete(want, message)
			}
		}
	}
	if back := l.end(); !strings.Contains(back[0].about, `"interface":"near"`) {
		t.Errorf("the record does not name the interface: %s", back[0].about)
	}
}

func fromID(record string) string {
	_, message, _ := strings.Cut(record, `"id":`)
	return strings.TrimSpace(message)
}

// awaitState waits until the sensor is in a state that ok takes.
func (l *live) awaitState(ok func(deliver.State) bool) {
	l.t.Helper()
	l.awaitStatus(func(s deliver.Status) bool { return ok(s.State) })
}

func (l *live) awaitStatus(ok func(deliver.Status) bool) {
	l.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok(l.s.Status()) {
		if time.Now().After(deadline) {
			l.t.Fatalf("%+v", l.s.Status())
		}
		<-tick.C
	}
}

func TestKernelInterfaceThatVanishesAndComesBack(t *testing.T) {
	if !netns.Again(t) {
		return
	}
	netns.Veth(t)
	l := startLive(t)
	frame := frames(t, own(t, "bind-types.pcap")[0])[0]
	l.sendUntil(frame)
	netns.IP(t, "link del near")
	l.awaitState(func(s deliver.State) bool { return s == CaptureDown })
	if s := l.s.Status(); !strings.Contains(s.Sentence, "near") || s.State.Ready() {
		t.Errorf("%+v", s)
	}
	netns.Veth(t)
	l.sendUntil(frame)
	l.awaitState(deliver.State.Ready)
	l.end()
	if n := l.s.Ledger().Stages[0].Detail["reopened"]; n == 0 {
		t.Error("that it was opened again is not counted")
	}
}

func TestKernelACarrierThatIsLostIsTold(t *testing.T) {
	if !netns.Again(t) {
		return
	}
	netns.Veth(t)
	l := startLive(t)
	l.sendUntil(frames(t, own(t, "bind-types.pcap")[0])[0])
	netns.IP(t, "link set far down")
	l.awaitStatus(func(s deliver.Status) bool {
		return s.State.Ready() && strings.Contains(s.Sentence, "; nothing comes from near, without a carrier")
	})
	l.end()
}

func TestKernelRefusalsSayWhatToDo(t *testing.T) {
	if !netns.Again(t) {
		return
	}
	netns.Veth(t)
	open := func(name string) string {
		cfg := settings()
		cfg.Interfaces, cfg.RingSize = []string{name}, 2<<20
		s := build(t, cfg, nobody(t), slog.New(slog.DiscardHandler))
		err := s.Open()
		if err == nil {
			t.Fatal("it opens ", name)
		}
		return err.Error()
	}
	absent := open("nowhere")
	runtime.LockOSThread() // for ever: the thread ends with the test
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
	forbidden := open("near")
	for said, word := range map[string]string{absent: "nowhere", forbidden: "CAP_NET_RAW"} {
		if !strings.Contains(said, word) || strings.Contains(said, "\n") {
			t.Errorf("it says %q, want one line with %s", said, word)
		}
	}
}
