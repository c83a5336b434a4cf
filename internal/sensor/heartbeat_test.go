// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/pcapfile"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
	"github.com/dnsluice/dnsluice/internal/verify"
)

const captures = "../../testdata/"

// pulse is what matters of a heartbeat.
type pulse struct {
	Seq       uint64
	Kind      string
	Heartbeat struct {
		Last                                           bool
		State                                          string
		Packets, Messages, Records, Acknowledged, Held uint64
		Lanes                                          []struct{ Lane, Seq, Dropped uint64 }
		TopicID                                        string `json:"topic_id"`
		Reached                                        []struct{ Partition, End uint64 }
	}
}

// heard reads the topic until it has the last heartbeat and as many records as are stored, and
// returns the heartbeats, in the order of their numbers, and what verify says.
func heard(t *testing.T, brokers []string) ([]pulse, verify.Report) {
	t.Helper()
	cluster, err := kafka.NewCluster(kafka.Config{Brokers: brokers, Topic: topic, RequestTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w, err := kafka.OpenWindow(ctx, cluster, kafka.AtStart(), kafka.AtEnd(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	check := verify.New(verify.Options{})
	bySeq := map[uint64]pulse{}
	for {
		records, err := w.Read(ctx)
		if err != nil {
			break // io.EOF, or what is missing shows below
		}
		for _, r := range records {
			if err := check.Add(r.Partition, r.Offset, r.Value); err != nil {
				t.Fatal(err)
			}
			var p pulse
			if err := json.Unmarshal(r.Value, &p); err != nil {
				t.Fatal(err)
			}
			if p.Kind == "heartbeat" {
				bySeq[p.Seq] = p
			}
		}
	}
	var all []pulse
	for seq := uint64(1); seq <= uint64(len(bySeq)); seq++ {
		p, ok := bySeq[seq]
		if !ok {
			t.Errorf("no heartbeat %d", seq)
		}
		all = append(all, p)
	}
	return all, check.Report(verify.Options{})
}

// stage returns a line of the ledger.
func stage(t *testing.T, l ledger.Ledger, name string) ledger.Stage {
	t.Helper()
	for _, s := range l.Stages {
		if s.Stage == name {
			return s
		}
	}
	t.Fatalf("no stage %s", name)
	return ledger.Stage{}
}

func TestTheLastHeartbeatIsTheWholeAccount(t *testing.T) {
	brokers := broker(t)
	cfg := settings(captures+"bind-types.pcap", captures+"chaos.pcap")
	cfg.Heartbeat = time.Hour // only the last one
	s := build(t, cfg, brokers, quiet)
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := s.Ledger()
	balances(t, l)
	if in := stage(t, l, "encode").Out + stage(t, l, "heartbeat").Out; in != stage(t, l, "deliver").In {
		t.Errorf("%d records are made, %d handed to delivery", in, stage(t, l, "deliver").In)
	}
	beats, report := heard(t, brokers)
	if len(beats) != 1 {
		t.Fatalf("%d heartbeats", len(beats))
	}
	h := beats[0].Heartbeat
	if !h.Last || h.State != "flowing" || h.Packets != l.Packets || h.Messages != l.Messages ||
		h.Records != l.Records-1 || h.Acknowledged != l.Acknowledged-1 || h.Held != 0 {
		t.Errorf("it says %+v, the ledger %+v", h, l.Totals)
	}
	var numbered uint64
	for _, lane := range h.Lanes[:len(h.Lanes)-1] {
		numbered += lane.Seq
	}
	if own := h.Lanes[len(h.Lanes)-1]; own.Lane != 2 || own.Seq != 1 || numbered != l.Messages {
		t.Errorf("its own lane is %+v, the others gave %d numbers to %d messages", own, numbered, l.Messages)
	}
	var reached uint64 // of a topic that had nothing before
	for _, r := range h.Reached {
		reached += r.End
	}
	if len(h.TopicID) != 22 || reached != h.Acknowledged {
		t.Errorf("%d are acknowledged, and topic %q has come to %+v", h.Acknowledged, h.TopicID, h.Reached)
	}
	if report.Verdict != verify.Complete || report.Records != l.Acknowledged || report.Runs[0].State != verify.Ended {
		t.Errorf("%s, %+v", report.Sentence, report.Runs)
	}
}

func TestAQuietLinkHasHeartbeats(t *testing.T) {
	brokers := broker(t)
	cfg := settings()
	idle := newGate(pcapfile.New(captures+"chaos.pcap"), 0)
	cfg.Sources = []capture.Source{idle}
	cfg.Heartbeat = 100 * time.Millisecond
	s := build(t, cfg, brokers, quiet)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	until(t, "three heartbeats are acknowledged", func() bool { return s.Ledger().Acknowledged >= 3 })
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	beats, report := heard(t, brokers)
	for i, b := range beats {
		last := i == len(beats)-1
		if b.Heartbeat.Last != last || b.Heartbeat.Messages != 0 {
			t.Errorf("heartbeat %d of %d: %+v", i+1, len(beats), b.Heartbeat)
		}
	}
	if len(beats) < 4 || report.Verdict != verify.Complete {
		t.Errorf("%d heartbeats: %s", len(beats), report.Sentence)
	}
}

// until waits until something is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !so(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("waited too long until ", what)
		}
	}
}

// TestWhatALaneDropsIsExplained drops records that are too large, and perhaps some for lack of
// memory, and lets verify find the gaps and their reason.
func TestWhatALaneDropsIsExplained(t *testing.T) {
	brokers := broker(t)
	cfg := settings(captures + "transfer-axfr.pcap.zst")
	cfg.Heartbeat = time.Hour
	s := build(t, cfg, brokers, quiet)
	// Every tenth record grows too large on its way.
	for i, l := range s.lanes {
		l.out = &leaky{Intake: s.delivery.LiveIntake(), every: 10}
		s.intakes[i] = l.out.(*leaky).Intake
	}
	err := s.Run(t.Context())
	l := s.Ledger()
	if said := fmt.Sprintf("sensor: %d records were dropped (", l.Dropped); err == nil ||
		!strings.HasPrefix(err.Error(), said) {
		t.Fatalf("%v, want %s", err, said)
	}
	_, report := heard(t, brokers)
	want := verify.Counts{Records: l.Acknowledged, Heartbeats: 1, Missing: l.Dropped, Dropped: l.Dropped}
	report.Malformed = 0
	if diff := cmp.Diff(want, report.Counts); diff != "" || l.Dropped == 0 {
		t.Errorf("%s: %s", report.Sentence, diff)
	}
	if report.Verdict != verify.Explained {
		t.Error(report.Sentence)
	}
}

// leaky is an intake to which every so many records are too large for a batch.
type leaky struct {
	*deliver.Intake
	every, n int
}

// Commit implements outlet.
func (o *leaky) Commit(value []byte) {
	if o.n++; o.n%o.every == 0 {
		value = make([]byte, deliver.DefaultConfig().BatchSize+1)
	}
	o.Intake.Commit(value)
}

func TestWithoutAClusterHeartbeatsDoNotFillTheMemory(t *testing.T) {
	cfg := settings()
	idle := newGate(pcapfile.New(captures+"chaos.pcap"), 0)
	cfg.Sources = []capture.Source{idle}
	cfg.Heartbeat, cfg.Grace = time.Millisecond, 20*time.Millisecond
	s := build(t, cfg, nobody(t), quiet)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	until(t, "there are more heartbeats than batches", func() bool { return s.Ledger().Records > 200 })
	if status := s.Status(); status.Waiting > 1 {
		t.Errorf("%d batches wait", status.Waiting)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("records are lost and nobody says so")
	}
	balances(t, s.Ledger())
}
