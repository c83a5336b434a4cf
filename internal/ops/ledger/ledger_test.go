// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// balanced returns a ledger in which every law holds.
func balanced() Ledger {
	return Of([]Stage{
		{Stage: "capture", Unit: "packets", In: 2_000_000, Out: 1_999_990,
			Dropped: map[string]uint64{"kernel": 10}, Detail: map[string]uint64{"bytes": 300}},
		{Stage: "decode", Unit: "packets", In: 1_999_990, Out: 1_998_990,
			Dropped: map[string]uint64{"not_ip": 1, "truncated": 999, "fragment": 0}},
		{Stage: "deliver", Unit: "records", In: 1_998_990, Out: 1_998_000, Held: 990},
	}, Totals{Packets: 2_000_000, Messages: 1_998_990, Records: 1_998_990,
		Acknowledged: 1_998_000, Held: 990})
}

func TestCheckNamesWhatDoesNotAddUp(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*Ledger)
		want  string
	}{
		{"a balanced ledger has no error", func(*Ledger) {}, ""},
		{"a packet that vanished", func(l *Ledger) { l.Stages[0].Out-- },
			"ledger: stage capture: in 2000000, but out 1999989 + held 0 + dropped 10 (kernel 10)" +
				" = 1999999"},
		{"a packet counted twice, with the most frequent reason first",
			func(l *Ledger) { l.Stages[1].Dropped["not_ip"] = 2 },
			"ledger: stage decode: in 1999990, but out 1998990 + held 0 + dropped 1001" +
				" (truncated 999, not_ip 2) = 1999991"},
		{"a held record that is not held, in a stage without drops",
			func(l *Ledger) { l.Stages[2].Held = 0 },
			"ledger: stage deliver: in 1998990, but out 1998000 + held 0 + dropped 0 = 1998000"},
		{"records that came to no end", func(l *Ledger) { l.Held = 0; l.Spooled = 1 },
			"ledger: records 1998990, but acknowledged 1998000 + spooled 1 + dropped 0 + held 0" +
				" = 1998001"},
		{"two mistakes are both named",
			func(l *Ledger) { l.Stages[2].In++; l.Records++ },
			"ledger: stage deliver: in 1998991, but out 1998000 + held 990 + dropped 0 = 1998990\n" +
				"ledger: records 1998991, but acknowledged 1998000 + spooled 0 + dropped 0 + held 990" +
				" = 1998990"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := balanced()
			test.spoil(&l)
			got := ""
			if err := l.Check(); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Check (-want +got):\n%s", diff)
			}
			if again := Of(l.Stages, l.Totals); again.Balanced != (test.want == "") {
				t.Errorf("Of says Balanced = %v", again.Balanced)
			}
		})
	}
}

func TestJSONHasEveryKeyAndNoNull(t *testing.T) {
	got, err := json.Marshal(Of([]Stage{{Stage: "capture", Unit: "packets"}}, Totals{}))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"balanced":true,"complete":false,"packets":0,"messages":0,"records":0,"acknowledged":0,` +
		`"spooled":0,"dropped":0,"held":0,"stages":[` +
		`{"stage":"capture","unit":"packets","in":0,"out":0,"held":0,"dropped":{}}]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("one stage (-want +got):\n%s", diff)
	}
	got, err = json.Marshal(Ledger{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(got), `"stages":[]}`) {
		t.Errorf("no stages: %s", got)
	}
}

func TestJSONReadsBackAsItWas(t *testing.T) {
	want := balanced()
	want.Stages[2].Dropped = map[string]uint64{}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Ledger
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestTextIsAnAlignedTable(t *testing.T) {
	l := balanced()
	var got strings.Builder
	if err := l.WriteText(&got); err != nil {
		t.Fatal(err)
	}
	want := `
stage                    in        out  held  dropped
capture  packets  2,000,000  1,999,990     0       10  kernel 10
decode   packets  1,999,990  1,998,990     0    1,000  truncated 999, not_ip 1
deliver  records  1,998,990  1,998,000   990        0
2,000,000 packets, 1,998,990 messages, 1,998,990 records: ` +
		`1,998,000 acknowledged, 0 spooled, 0 dropped, 990 held
the ledger balances
`
	if diff := cmp.Diff(want, "\n"+got.String()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestTextSaysWhatDoesNotBalance(t *testing.T) {
	l := balanced()
	l.Stages[0].In++
	var got strings.Builder
	if err := l.WriteText(&got); err != nil {
		t.Fatal(err)
	}
	want := "the ledger does not balance:\nledger: stage capture: in 2000001, but"
	if !strings.Contains(got.String(), want) {
		t.Errorf("text lacks %q:\n%s", want, got.String())
	}
}

func TestNumberHasThousandsSeparators(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 2_000_000: "2,000,000",
		math.MaxUint64: "18,446,744,073,709,551,615",
	} {
		if got := Number(n); got != want {
			t.Errorf("Number(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestWriteFileReplacesWholeFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ledger.json")
	if err := os.WriteFile(path, bytes.Repeat([]byte("old "), 10_000), 0o644); err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := balanced().WriteFile(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got Ledger
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(balanced().Totals, got.Totals); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
	// Who had the old file open still reads it whole: it was replaced, not overwritten.
	if info, err := old.Stat(); err != nil || info.Size() != 40_000 {
		t.Errorf("the old file has changed: %v, %v", info.Size(), err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{path}, append(names, hidden...)); diff != "" {
		t.Errorf("files left in the directory (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v, want 0644: others may read what became of the run", info.Mode(), err)
	}
}

func TestWriteFileNamesThePathThatFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "ledger.json")
	err := balanced().WriteFile(path)
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "ledger: write "+path) {
		t.Errorf("error is %v", err)
	}
}

func TestWriteFileLeavesNothingWhenTheRenameFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ledger.json")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := balanced().WriteFile(path); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a directory was written over: %v", err)
	}
	if err := replaceFile(path, nil); err == nil {
		t.Error("a directory was renamed over")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestWriteFileWritesIntoADevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := balanced().WriteFile(path); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("nobody reads the FIFO, but the error is %v", err)
	}
	// Opened for both, a FIFO takes what fits its buffer without another process (fifo(7)).
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := balanced().WriteFile(path); err != nil {
		t.Fatal(err)
	}
	var got Ledger
	if err := json.NewDecoder(f).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(balanced().Totals, got.Totals); diff != "" {
		t.Errorf("read from the FIFO (-want +got):\n%s", diff)
	}
}

func TestAFileIsTriedWithoutATrace(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "ledger.json")
	if err := balanced().WriteFile(there); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(there)
	if err != nil {
		t.Fatal(err)
	}
	for path, good := range map[string]bool{
		there: true, filepath.Join(dir, "new"): true, os.DevNull: true,
		dir: false, filepath.Join(dir, "no", "such"): false, filepath.Join(there, "below"): false,
	} {
		if err := CheckFile(path); (err == nil) != good {
			t.Errorf("%s: %v", path, err)
		}
	}
	after, err := os.ReadFile(there)
	entries, unread := os.ReadDir(dir)
	if err != nil || unread != nil || !bytes.Equal(before, after) || len(entries) != 1 {
		t.Errorf("%v, %v; %v", err, unread, entries)
	}
}
