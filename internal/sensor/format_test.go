// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/encode/encodetest"
	"github.com/dnsluice/dnsluice/internal/match"
)

// said returns what a record says but for what names it, as a text to compare and to sort by.
func said(record map[string]any) string {
	for _, key := range []string{"sensor", "run", "lane", "seq"} {
		delete(record, key)
	}
	text, err := json.Marshal(record)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestAProtobufTopicSaysWhatTheJSONRecordsSay(t *testing.T) {
	p, err := encodetest.NewProto()
	if err != nil {
		t.Fatal(err)
	}
	for _, joined := range []*match.Config{nil, {Timeout: patience, Memory: 1 << 20}} {
		t.Run(fmt.Sprintf("transactions %t", joined != nil), func(t *testing.T) {
			brokers, cfg := broker(t), settings(own(t)...)
			cfg.Lanes, cfg.Match = 1, joined // one lane: queries and responses of two files may match
			var out bytes.Buffer
			if _, err := Print(t.Context(), cfg, &out); err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range bytes.Lines(out.Bytes()) {
				record, err := encodetest.JSONRecord(line)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, said(record))
			}
			cfg.Format = "protobuf"
			s := build(t, cfg, brokers, quiet)
			if err := s.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			var got []string
			complete(t, s.Ledger(), readBackAs(t, brokers, func(r kafka.Record) (s sent) {
				record, err := p.Read(r.Value)
				if err != nil {
					t.Fatalf("partition %d, offset %d: %v", r.Partition, r.Offset, err)
				}
				lane, _ := record["lane"].(json.Number).Int64()
				seq, _ := record["seq"].(json.Number).Int64()
				got = append(got, said(record))
				return sent{kafka: r.Time, Lane: int(lane), Seq: uint64(seq)}
			}))
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" || len(want) < 1000 {
				t.Errorf("%d records (-json +protobuf):\n%s", len(want), diff)
			}
		})
	}
}

func TestAFormatThatIsNotKnownIsRefused(t *testing.T) {
	cfg := settings(own(t, "chaos.pcap")...)
	cfg.Format = "avro"
	if _, err := Print(t.Context(), cfg, io.Discard); err == nil ||
		!strings.Contains(err.Error(), "json, protobuf") {
		t.Errorf("the error is %v", err)
	}
}
