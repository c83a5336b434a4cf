// SPDX-License-Identifier: Apache-2.0

//go:build drills

package drills

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/verify"
)

// log is a topic as it was read: the values of each partition, from the offset 0 on.
type log struct {
	id         string
	partitions [][][]byte
}

// readLog reads a topic whole.
func readLog(t testing.TB, brokers []string) log {
	t.Helper()
	cluster, err := kafka.NewCluster(kafka.Config{Brokers: brokers, Topic: topic, RequestTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w, err := kafka.OpenWindow(ctx, cluster, kafka.AtStart(), kafka.AtEnd(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	l := log{id: w.Topic(), partitions: make([][][]byte, len(w.Extents()))}
	for {
		records, err := w.Read(ctx)
		if errors.Is(err, io.EOF) {
			return l
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if int64(len(l.partitions[r.Partition])) != r.Offset {
				t.Fatalf("partition %d has no offset %d", r.Partition, r.Offset)
			}
			l.partitions[r.Partition] = append(l.partitions[r.Partition], r.Value)
		}
	}
}

// verify judges the log between two parts of each partition, from 0 to 1. lacks tells which values
// are not there.
func (l log) verify(t testing.TB, from, to func() float64, lacks func() bool) verify.Report {
	t.Helper()
	check := verify.New(verify.Options{Topic: l.id})
	for n, values := range l.partitions {
		size := float64(len(values))
		p := verify.Partition{Partition: int32(n), Start: int64(from() * size), End: int64(to() * size)}
		p.End = max(p.Start, p.End)
		p.CutStart, p.CutEnd = p.Start > 0, p.End < int64(size)
		check.Expect(p)
	}
	whole := check.Report(verify.Options{})
	for _, p := range whole.Partitions {
		for offset := p.Start; offset < p.End; offset++ {
			if lacks() {
				continue
			}
			if err := check.Add(p.Partition, offset, l.partitions[p.Partition][offset]); err != nil {
				t.Fatal(err)
			}
		}
	}
	return check.Report(verify.Options{Now: time.Now()})
}

// compare finds what is called missing in a part of the topic and is not missing in the whole of it.
// lost is that by run: what was in memory when one was killed.
func compare(t testing.TB, r verify.Report, lost map[string]uint64) {
	t.Helper()
	for _, run := range r.Runs {
		if run.Unexplained > lost[run.Run] {
			t.Errorf("%d records of run %s are missing, and in all only %d: %s", run.Unexplained, run.Run,
				lost[run.Run], r.Sentence)
		}
	}
}

// verifies lets the program judge parts of the topic, all partitions from an offset to an offset.
func (p *process) verifies(random *rand.Rand, size int, lost map[string]uint64) {
	p.Helper()
	path, err := program()
	if err != nil {
		p.Fatal(err)
	}
	for range 8 {
		from := random.IntN(size)
		to := from + 1 + random.IntN(size)
		c := exec.Command(path, "verify", "--brokers", strings.Join(p.c.ListenAddrs(), ","), "--topic", topic,
			"--from", strconv.Itoa(from), "--to", strconv.Itoa(to), "--json")
		said, _ := c.Output() // status 1 when something is missing, which the report says
		var r verify.Report
		if err := json.Unmarshal(said, &r); err != nil {
			p.Fatalf("from %d to %d of %d: status %d: %q: %v", from, to, size, c.ProcessState.ExitCode(), said, err)
		}
		if ok := r.Unexplained == 0; ok != c.ProcessState.Success() {
			p.Errorf("from %d to %d: status %d: %s", from, to, c.ProcessState.ExitCode(), r.Sentence)
		}
		compare(p, r, lost)
	}
}

// flows waits until n records more are acknowledged.
func (p *process) flows(n uint64) {
	p.Helper()
	before, err := p.ask()
	if err != nil {
		p.Fatal(err)
	}
	n += before.Ledger.Acknowledged
	p.asks("more records are acknowledged", func(r report) bool { return r.Ledger.Acknowledged >= n })
}

// TestDrillRanges reads parts of the topic of a program that was cut off from its brokers, killed
// meanwhile, and started again with what was on disk.
func TestDrillRanges(t *testing.T) {
	p := newProcess(t, "DNSLUICE_DELIVER_HEARTBEAT=100ms", "DNSLUICE_DELIVER_SPOOL_AFTER=200ms")
	ready := func(r report) bool { return r.State.Ready && r.Ledger.Acknowledged > 100 }
	drained := func(r report) bool { return ready(r) && r.Detail.Delivery.Spool.Records == 0 }
	waits := func(n uint64) func(report) bool {
		return func(r report) bool { return r.Detail.Delivery.Spool.Records > n }
	}
	p.launch()
	p.feed(4000)
	p.asks("the first records are there", ready)
	for range 2 { // outages that it survives
		p.flows(4000)
		away(p.rig)
		p.asks("records wait on disk", waits(2000))
		back(p.rig)
		p.asks("none does", drained)
	}
	away(p.rig)
	p.asks("records wait on disk", waits(4000))
	p.kill()
	p.launch()
	p.asks("the next run has them", waits(4000))
	back(p.rig)
	p.asks("none waits", drained)
	p.flows(8000)
	p.rest()
	p.asks("none waits", drained)
	p.terminate()

	l := readLog(t, p.c.ListenAddrs())
	start, end := func() float64 { return 0 }, func() float64 { return 1 }
	never := func() bool { return false }
	whole := l.verify(t, start, end, never)
	lost := map[string]uint64{} // with the kill
	for _, run := range whole.Runs {
		lost[run.Run] = run.Unexplained
	}
	t.Logf("%s; %d came twice", whole.Sentence, whole.Duplicates)
	random := rand.New(rand.NewPCG(1, 2))
	var unjudged, found, judged int
	ranges := 200
	if testing.Short() {
		ranges = 40
	}
	for range ranges {
		from := random.Float64() * 0.9
		until := from + random.Float64()*(1-from)
		about := func(at float64) func() float64 { // clocks and partitions differ a little
			return func() float64 { return min(1, max(0, at+random.Float64()*0.02-0.01)) }
		}
		r := l.verify(t, about(from), about(until), never)
		compare(t, r, lost)
		if r.Verdict == verify.Unjudged {
			unjudged++
		}
		n := 0
		r = l.verify(t, about(0.03), about(0.97), func() bool {
			gone := random.IntN(500) == 0
			if gone {
				n++
			}
			return gone
		})
		judged += n
		found += int(r.Unexplained)
	}
	p.verifies(random, len(l.partitions[0]), lost)
	t.Logf("%d of %d ranges have what cannot be judged; %d of %d records that were taken out were found missing",
		unjudged, ranges, found, judged)
	if found < judged/2 { // near the ends nothing is proved
		t.Errorf("only %d of %d records that were taken out were found missing", found, judged)
	}
}
