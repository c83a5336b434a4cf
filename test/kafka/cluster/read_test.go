// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// These tests need no Java: they are of what could make a broken cluster look whole.

const (
	goodBatch = "baseOffset: 0 lastOffset: 1 count: 2 baseSequence: 0 lastSequence: 1 " +
		"producerId: 0 producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false " +
		"isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: 1 " +
		"size: 100 magic: 2 compresscodec: zstd crc: 1 isvalid: true"
	record = "| offset: 0 CreateTime: 1 keySize: -1 valueSize: 5 sequence: 0 headerKeys: []"
)

func TestParseDump(t *testing.T) {
	badBatch := strings.Replace(goodBatch, "isvalid: true", "isvalid: false", 1)
	for _, tt := range []struct {
		name  string
		lines []string
		want  LogDump
	}{
		{
			"records and batches are counted across segments",
			[]string{"Dumping a", "Log starting offset: 0", goodBatch, record, record, "Dumping b"},
			LogDump{Segments: 2, Batches: 1, Records: 2, Codecs: map[string]int{"zstd": 1}},
		},
		{
			"a batch that is not valid is reported and not counted",
			[]string{"Dumping a", badBatch},
			LogDump{Segments: 1, Codecs: map[string]int{}, Invalid: []string{badBatch}},
		},
		{
			"a batch with a record missing is reported at the end of the file",
			[]string{"Dumping a", goodBatch, record, "Dumping b"},
			LogDump{
				Segments: 2, Batches: 1, Records: 1, Codecs: map[string]int{"zstd": 1},
				Invalid: []string{"a batch says 2 records and holds 1"},
			},
		},
		{
			"a line of no known kind is reported",
			[]string{"Dumping a", "Found 17 invalid bytes at the end of a"},
			LogDump{
				Segments: 1, Codecs: map[string]int{},
				Invalid: []string{"Found 17 invalid bytes at the end of a"},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := LogDump{Codecs: make(map[string]int)}
			out := []byte(strings.Join(tt.lines, "\n") + "\n")
			if last := parseDump(out, map[string]*LogDump{"a": &got, "b": &got}); last != &got {
				t.Errorf("last dump is %p, want %p", last, &got)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("dump (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseDumpOfNothingHasNoLastDump(t *testing.T) {
	if last := parseDump([]byte("Exception in thread main\n"), nil); last != nil {
		t.Errorf("got %+v, want nil", last)
	}
}

func TestFreePortsAreDistinctAndFree(t *testing.T) {
	ports, err := freePorts(6)
	if err != nil {
		t.Fatal(err)
	}
	if len(ports) != 6 {
		t.Fatalf("got %d ports, want 6", len(ports))
	}
	seen := make(map[int]bool)
	for _, port := range ports {
		if seen[port] {
			t.Errorf("port %d twice", port)
		}
		seen[port] = true
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Errorf("port %d: %v", port, err)
			continue
		}
		_ = l.Close()
	}
}

func TestUntilEndsWithSuccessOrAnErrorThatWaitingDoesNotCure(t *testing.T) {
	calls := 0
	err := until(context.Background(), func() error {
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || calls != 3 {
		t.Errorf("got %v after %d calls, want nil after 3", err, calls)
	}
	err = until(context.Background(), func() error { return errFinal })
	if !errors.Is(err, errFinal) {
		t.Errorf("got %v, want %v", err, errFinal)
	}
}

func TestUntilSaysWhatItWaitedFor(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	reason := errors.New("no leader")
	err := until(ctx, func() error { return reason })
	if !errors.Is(err, reason) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want both %v and %v", err, reason, context.Canceled)
	}
}
