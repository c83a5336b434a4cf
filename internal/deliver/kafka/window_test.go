// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/dnsluice/dnsluice/internal/record"
)

// filled is a topic of two partitions: ten records in the first, at noon and each ms after it, and
// three in the second.
func filled(t *testing.T) *Cluster {
	t.Helper()
	k, _ := newCluster(t, 1, kfake.SeedTopics(2, topic))
	fill(t, k, 0, 10)
	fill(t, k, 1, 3)
	c, err := NewCluster(Config{Brokers: k.ListenAddrs(), Topic: topic, ClientID: "test",
		RequestTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func fill(t *testing.T, k *kfake.Cluster, partition int32, n int) {
	t.Helper()
	cl := newClient(t, 2*time.Second, k.ListenAddrs()...)
	leaders, err := cl.Leaders(cl.within(t))
	if err != nil {
		t.Fatal(err)
	}
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf("%d/%d", partition, i)
	}
	batch := newBatch(t, record.Snappy, record.NoProducer, -1, values...)
	if err := cl.Produce(cl.within(t), leaders[partition], partition, batch); err != nil {
		t.Fatal(err)
	}
}

// readWindow reads to the end of the window, and returns the offsets of each partition.
func readWindow(t *testing.T, w *Window) map[int32][]int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := map[int32][]int64{}
	for {
		records, err := w.Read(ctx)
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			got[r.Partition] = append(got[r.Partition], r.Offset)
			if want := fmt.Sprintf("%d/%d", r.Partition, r.Offset); string(r.Value) != want {
				t.Errorf("%s is %s", want, r.Value)
			}
		}
	}
}

func TestAWindowHasWhatIsBetweenItsBounds(t *testing.T) {
	c := filled(t)
	upTo := func(from, to int64) (all []int64) {
		for o := from; o < to; o++ {
			all = append(all, o)
		}
		return all
	}
	for _, test := range []struct {
		name          string
		from, to      Bound
		first, second []int64
	}{
		{"all of it", AtStart(), AtEnd(), upTo(0, 10), upTo(0, 3)},
		{"from an offset that one partition does not have", AtOffset(5), AtEnd(), upTo(5, 10), nil},
		{"to an offset", AtStart(), AtOffset(2), upTo(0, 2), upTo(0, 2)},
		{"from a time to a time", AtTime(time.UnixMilli(noon + 2)), AtTime(time.UnixMilli(noon + 4)), upTo(2, 4), upTo(2, 3)},
		{"from a time after all records", AtTime(time.UnixMilli(noon + 1e6)), AtEnd(), nil, nil},
		{"from an offset after the one to end at", AtOffset(7), AtOffset(3), nil, nil},
		{"nothing, at the end", AtEnd(), AtEnd(), nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, err := OpenWindow(t.Context(), c, test.from, test.to, false)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			got := readWindow(t, w)
			if diff := cmp.Diff([][]int64{test.first, test.second}, [][]int64{got[0], got[1]}); diff != "" {
				t.Error(diff)
			}
			for _, e := range w.Extents() {
				n := int64(len(got[e.Partition]))
				if e.Oldest != 0 || e.Newest != []int64{10, 3}[e.Partition] || e.End-e.Start != n {
					t.Errorf("%+v, %d records", e, n)
				}
			}
		})
	}
}

func TestAWindowThatFollowsGoesOn(t *testing.T) {
	k, _ := newCluster(t, 1, kfake.SeedTopics(2, topic))
	fill(t, k, 0, 2)
	c, err := NewCluster(Config{Brokers: k.ListenAddrs(), Topic: topic, RequestTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	w, err := OpenWindow(t.Context(), c, AtStart(), AtEnd(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []string
	for len(got) < 5 {
		records, err := w.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			got = append(got, string(r.Value))
		}
		if len(got) == 2 {
			fill(t, k, 1, 3)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"0/0", "0/1", "1/0", "1/1", "1/2"}, got); diff != "" {
		t.Error(diff)
	}
	cancel()
	if _, err := w.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAWindowOfAClusterThatIsAwaySaysSo(t *testing.T) {
	k, _ := newCluster(t, 1, kfake.SeedTopics(1, topic))
	brokers := k.ListenAddrs()
	k.Close()
	c, err := NewCluster(Config{Brokers: brokers, Topic: topic, RequestTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if w, err := OpenWindow(t.Context(), c, AtStart(), AtEnd(), false); err == nil {
		w.Close()
		t.Error("no error")
	}
}

func TestAWindowThatDriesUpIsAnError(t *testing.T) {
	k, _ := newCluster(t, 1, kfake.SeedTopics(1, topic))
	fill(t, k, 0, 2)
	c, err := NewCluster(Config{Brokers: k.ListenAddrs(), Topic: topic, RequestTimeout: 400 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	w, err := OpenWindow(t.Context(), c, AtStart(), AtEnd(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.open[0] = 100 // as if others had been deleted since it was measured
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	records, err := w.Read(ctx)
	if err != nil || len(records) != 2 {
		t.Errorf("%d records, %v", len(records), err)
	}
	if _, err := w.Read(ctx); err == nil || errors.Is(err, io.EOF) || ctx.Err() != nil {
		t.Errorf("it ends with %v", err)
	}
}

func TestAWindowSaysWhatWasDeletedMeanwhile(t *testing.T) {
	c := filled(t)
	w, err := OpenWindow(t.Context(), c, AtOffset(2), AtOffset(8), false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	// As if there had been more before what is read, and of the other all that was to be read is gone.
	w.next[0] = 1
	w.open[1], w.next[1] = 2, 0
	readWindow(t, w)
	if diff := cmp.Diff(map[int32]int64{0: 2, 1: 2}, w.Skipped()); diff != "" {
		t.Error(diff)
	}
	if again := w.Skipped(); len(again) > 0 {
		t.Errorf("and again %v", again)
	}
	if len(w.Topic()) != 22 {
		t.Errorf("the topic is %q", w.Topic())
	}
}

func TestAWindowOfAWholeTopicHasSkippedNothing(t *testing.T) {
	w, err := OpenWindow(t.Context(), filled(t), AtStart(), AtEnd(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	readWindow(t, w)
	if skipped := w.Skipped(); len(skipped) > 0 {
		t.Errorf("it says %v", skipped)
	}
}

func TestABoundIsBehindAnother(t *testing.T) {
	at := func(s int64) Bound { return AtTime(time.Unix(s, 0)) }
	for _, c := range []struct {
		from, to Bound
		want     bool
	}{
		{AtStart(), AtEnd(), false}, {AtStart(), AtStart(), true}, {AtEnd(), AtEnd(), true},
		{AtEnd(), AtOffset(7), true}, {AtOffset(7), AtStart(), true}, {AtOffset(7), AtOffset(8), false},
		{AtOffset(7), AtOffset(7), true}, {at(7), at(8), false}, {at(8), at(7), true},
		{AtOffset(7), at(1), false}, {at(9), AtOffset(1), false}, {at(9), AtEnd(), false},
	} {
		if got := c.from.Behind(c.to); got != c.want {
			t.Errorf("%+v behind %+v is %v", c.from, c.to, got)
		}
	}
}
