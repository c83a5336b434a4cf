// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/ops/ledger"
	"github.com/dnsluice/dnsluice/test/need"
)

// The captures, each with a list of the messages that tshark finds in it.
const (
	ownCaptures    = "../../testdata"
	sharedCaptures = "../../../shared/pcaps"
	listed         = "../../testdata/differences.txt"
)

// TestOurCapturesAsTsharkSeesThem compares what is printed with tshark's lists, message by
// message. What differs must be listed, and what is listed must differ.
func TestOurCapturesAsTsharkSeesThem(t *testing.T) {
	lists, err := filepath.Glob(ownCaptures + "/*.tsv")
	if err != nil || len(lists) < 20 {
		t.Fatalf("%d lists in %s: %v", len(lists), ownCaptures, err)
	}
	for _, list := range lists {
		compareCapture(t, strings.TrimSuffix(list, ".tsv"), list, 53)
	}
}

// TestSharedCapturesAsTsharkSeesThem does the same with captures of other projects, which are not
// part of the repository.
func TestSharedCapturesAsTsharkSeesThem(t *testing.T) {
	if _, err := os.Stat(sharedCaptures); err != nil {
		need.Cannot(t, "needs the folder of captures beside the repository: "+sharedCaptures)
	}
	rows := readTSV(t, filepath.Join(sharedCaptures, "CATALOG.tsv"))
	for _, row := range rows {
		compareCapture(t, filepath.Join(sharedCaptures, row["file"]),
			filepath.Join(sharedCaptures, "oracle", row["file"]+".tsv"), 53, 5353, 5355)
	}
	if len(rows) < 300 {
		t.Errorf("only %d captures", len(rows))
	}
}

// compareCapture compares one capture with its list.
func compareCapture(t *testing.T, capture, list string, ports ...uint16) {
	t.Run(filepath.Base(capture), func(t *testing.T) {
		got := printCapture(t, capture, ports)
		var want []observation
		if _, err := os.Stat(list); err == nil { // a capture without DNS has none
			want = slices.DeleteFunc(readOracle(t, list), func(o observation) bool {
				return !o.inScope(ports)
			})
		}
		found := compare(want, got)
		found.consult(want, otherwiseRead(t, list))
		if diff := cmp.Diff(found.kinds, known(t, filepath.Base(capture))); diff != "" {
			t.Errorf("differs from tshark (-found +listed in %s):\n%s\n%s", listed, diff,
				strings.Join(found.examples, "\n"))
		}
	})
}

// printCapture returns the records of a capture. Its ledger must account for each of them.
func printCapture(t *testing.T, capture string, ports []uint16) []observation {
	t.Helper()
	var out bytes.Buffer
	cfg := settings(capture)
	cfg.Ports = ports
	l, err := Print(t.Context(), cfg, &out)
	if err != nil {
		t.Error(err)
	}
	var list []observation
	names := newCodes()
	for line := range bytes.Lines(out.Bytes()) {
		o, err := names.observed(line)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
	balances(t, l)
	if n := uint64(len(list)); l.Messages != n || l.Records != n || l.Acknowledged != n {
		t.Errorf("%d lines, but the ledger has %d messages, %d records, %d written", n, l.Messages,
			l.Records, l.Acknowledged)
	}
	return list
}

// balances checks the ledger of a run that is over: it adds up, line by line and from line to
// line, and holds nothing.
func balances(t *testing.T, l ledger.Ledger) {
	t.Helper()
	if err := l.Check(); err != nil || !l.Balanced {
		t.Errorf("balanced %v: %v", l.Balanced, err)
	}
	if l.Held != 0 || l.Packets != l.Stages[0].In || l.Stages[0].Out != l.Stages[1].In ||
		l.Stages[2].Out != l.Stages[3].In || l.Messages != l.Stages[2].In {
		t.Errorf("the stages do not follow one another: %+v", l)
	}
	for _, s := range l.Stages {
		if s.Held != 0 {
			t.Errorf("stage %s still holds %d", s.Stage, s.Held)
		}
	}
}

// inScope tells whether a message that tshark sees is one to be seen: on one of the ports, and no
// quotation in an ICMP error.
func (o observation) inScope(ports []uint16) bool {
	return !strings.Contains(o.protocols, "icmp") &&
		slices.ContainsFunc(ports, func(p uint16) bool {
			port := "#" + strconv.Itoa(int(p))
			return strings.Contains(o.path, port+" ") || strings.HasSuffix(o.path, port)
		})
}

// The kinds of differences.
const (
	missing  = "missing"  // tshark has it, we do not
	extra    = "extra"    // we have it, tshark does not
	besides  = "besides"  // we have it, and tshark too, when its settings are others
	elsewhen = "time"     // both have it, with the time of another frame
	moved    = "moved"    // both have it, in another order
	question = "question" // both have it, with other questions
	refused  = "refused"  // we say malformed, tshark does not
	accepted = "accepted" // tshark says malformed, we do not
)

// findings are the differences of a capture.
type findings struct {
	kinds    map[string]int
	examples []string
	found    []observation // of ours, those that tshark does not have
}

func (f *findings) add(kind string, what any) {
	if f.kinds[kind]++; f.kinds[kind] <= 3 {
		f.examples = append(f.examples, fmt.Sprintf("%s: %v", kind, what))
	}
}

// compare pairs the messages of both lists: each with its equal of the same time, what is left
// with its equal of any time.
func compare(want, got []observation) *findings {
	f := &findings{kinds: map[string]int{}}
	partner := make([]int, len(got)) // index in want of what got has, or -1
	for i := range partner {
		partner[i] = -1
	}
	taken := make([]bool, len(want))
	for _, key := range []func(observation) string{
		func(o observation) string { return o.time + o.String() },
		observation.String,
	} {
		waiting := map[string][]int{}
		for i, o := range want {
			if !taken[i] {
				waiting[key(o)] = append(waiting[key(o)], i)
			}
		}
		for i, o := range got {
			if k := key(o); partner[i] < 0 && len(waiting[k]) > 0 {
				partner[i], waiting[k] = waiting[k][0], waiting[k][1:]
				taken[partner[i]] = true
			}
		}
	}
	var order []int
	for i, o := range got {
		if partner[i] < 0 {
			f.found = append(f.found, o)
			continue
		}
		order = append(order, partner[i])
		f.pair(want[partner[i]], o)
	}
	if n := len(order) - longestRise(order); n > 0 {
		f.kinds[moved] = n
	}
	for i, o := range want {
		if !taken[i] {
			f.add(missing, o)
		}
	}
	return f
}

// pair compares what two that are the same message say beyond that. Behind a fault or a cut there
// is nothing to compare.
func (f *findings) pair(want, got observation) {
	if want.time != got.time {
		f.add(elsewhen, fmt.Sprint(want.time, " and not ", got.time, ": ", got))
	}
	switch {
	case want.cut:
	case got.faulty && !want.faulty:
		f.add(refused, got)
	case want.faulty && !got.faulty:
		f.add(accepted, got)
	case !got.faulty && want.questions != got.questions:
		f.add(question, fmt.Sprint(want.questions, " and not ", got.questions))
	}
}

// longestRise returns how many of the numbers, at most, stand in rising order.
func longestRise(numbers []int) int {
	var ends []int // the least number that a rise of each length can end in
	for _, n := range numbers {
		if i := sort.SearchInts(ends, n); i < len(ends) {
			ends[i] = n
		} else {
			ends = append(ends, n)
		}
	}
	return len(ends)
}

// otherwiseRead returns what tshark finds with other settings, for the captures where that makes
// a difference: with segments as they come, and with DNS on a TCP port that is not its own.
func otherwiseRead(t *testing.T, list string) []observation {
	t.Helper()
	var all []observation
	for _, settings := range []string{".noooo.tsv", ".asdns.tsv"} {
		other := strings.TrimSuffix(list, ".tsv") + settings
		if _, err := os.Stat(other); err == nil {
			all = append(all, readOracle(t, other)...)
		}
	}
	return all
}

// consult looks for the messages that only we have in the list that tshark made otherwise. Each
// of its messages explains one of ours at most.
func (f *findings) consult(want, otherwise []observation) {
	more := map[string]int{}
	for _, o := range otherwise {
		more[o.String()]++
	}
	for _, o := range want {
		more[o.String()]--
	}
	for _, o := range f.found {
		kind := extra
		if more[o.String()]--; more[o.String()] >= 0 {
			kind = besides
		}
		f.add(kind, o)
	}
}

// known returns the differences that are listed for a capture. Each has a reason.
func known(t *testing.T, capture string) map[string]int {
	t.Helper()
	kinds := map[string]int{}
	for _, row := range readTSV(t, listed) {
		if row["file"] != capture {
			continue
		}
		n, err := strconv.Atoi(row["messages"])
		if err != nil || n < 1 || row["why"] == "" {
			t.Fatalf("%s: a number and a reason are needed: %v", listed, row)
		}
		kinds[row["what"]] = n
	}
	return kinds
}

// TestListedDifferencesAreOfCaptures keeps the list from outliving what it is about.
func TestListedDifferencesAreOfCaptures(t *testing.T) {
	if _, err := os.Stat(sharedCaptures); err != nil {
		need.Cannot(t, "needs the folder of captures beside the repository: "+sharedCaptures)
	}
	for _, row := range readTSV(t, listed) {
		_, own := os.Stat(filepath.Join(ownCaptures, row["file"]))
		_, shared := os.Stat(filepath.Join(sharedCaptures, row["file"]))
		if own != nil && shared != nil {
			t.Errorf("%s is listed in %s, but there is no such capture", row["file"], listed)
		}
	}
}
