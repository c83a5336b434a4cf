// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/match"
	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// TestEveryMessageIsInOneTransaction reads each capture as messages and as transactions: those
// of the second way hold all messages of the first, and the ledger says so.
func TestEveryMessageIsInOneTransaction(t *testing.T) {
	files, err := filepath.Glob("../../testdata/*.pcap*")
	if err != nil {
		t.Fatal(err)
	}
	// What there is besides pairs.
	besides := map[string]string{
		"bind-rcodes.pcap":       "response", // the second message of a transfer
		"transfer-axfr.pcap.zst": "response",
		"snaplen.pcap":           "malformed", // each a response that was cut, with its query
	}
	read := 0
	for _, file := range files {
		if filepath.Ext(file) == ".tsv" {
			continue
		}
		read++
		t.Run(filepath.Base(file), func(t *testing.T) {
			cfg := Config{Sensor: "s", Files: []string{file}, Ports: []uint16{53, 5353, 5355}}
			plain, err := Print(t.Context(), cfg, new(bytes.Buffer))
			if err != nil {
				t.Fatal(err)
			}
			settings := match.DefaultConfig()
			cfg.Match = &settings
			var out bytes.Buffer
			l, err := Print(t.Context(), cfg, &out)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Check(); err != nil {
				t.Error(err)
			}
			want := plain.Messages
			stages := [3]ledger.Stage{stage(t, l, "wire"), stage(t, l, "match"), stage(t, l, "encode")}
			kinds := map[string]uint64{}
			counted := [5]uint64{l.Messages, stages[0].Out, stages[1].In, stages[1].Out, inRecords(t, &out, kinds)}
			if diff := cmp.Diff([5]uint64{want, want, want, want, want}, counted); diff != "" {
				t.Errorf("messages in all, out of wire, into match, out of it, in records (-want +got):\n%s", diff)
			}
			if in := stages[2].In; in != l.Records || stages[1].Held != 0 {
				t.Errorf("%d transactions, %d records, %d held", in, l.Records, stages[1].Held)
			}
			delete(kinds, "transaction")
			delete(kinds, besides[filepath.Base(file)])
			if len(kinds) > 0 {
				t.Errorf("these have found no partner: %v", kinds)
			}
		})
	}
	if read < 20 {
		t.Errorf("only %d captures were read", read)
	}
}

// inRecords counts the messages in the records, as a consumer would, and the records by kind.
func inRecords(t *testing.T, out *bytes.Buffer, kinds map[string]uint64) (messages uint64) {
	t.Helper()
	decoder := json.NewDecoder(out)
	for decoder.More() {
		var r struct {
			Kind        string
			Retransmits uint64
			Latency     *uint64 `json:"latency_us"` // there is a query and a response
		}
		if err := decoder.Decode(&r); err != nil {
			t.Fatal(err)
		}
		kinds[r.Kind]++
		messages += 1 + r.Retransmits
		if r.Latency != nil {
			messages++
		}
	}
	return messages
}
