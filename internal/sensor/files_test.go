// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/match"
)

// rotated writes a pcap as a writer does that begins a new file for each packet, and returns the
// names of the files.
func rotated(t *testing.T, capture string) (files []string) {
	t.Helper()
	const header, recordHeader = 24, 16
	data, err := os.ReadFile(capture)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for b := data[header:]; len(b) > 0; {
		n := recordHeader + binary.LittleEndian.Uint32(b[8:])
		file := filepath.Join(dir, fmt.Sprintf("%04d.pcap", len(files)))
		if err := os.WriteFile(file, slices.Concat(data[:header], b[:n]), 0o600); err != nil {
			t.Fatal(err)
		}
		files, b = append(files, file), b[n:]
	}
	return files
}

// TestWhatGoesOnInTheNextFileIsPutTogether runs over captures of which each packet is a file: the
// parts of a datagram, of a stream and of a pair, of which no file has a whole one.
func TestWhatGoesOnInTheNextFileIsPutTogether(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	for _, name := range []string{"bind-tcp.pcap", "fragments-udp4.pcap", "knot-udp6.pcap"} {
		t.Run(name, func(t *testing.T) {
			whole, brokers := own(t, name)[0], broker(t)
			matching := match.DefaultConfig()
			cfg := settings(rotated(t, whole)...)
			cfg.Lanes, cfg.Match = 0, &matching
			s := build(t, cfg, brokers, quiet)
			if len(s.lanes) != 1 {
				t.Errorf("%d lanes", len(s.lanes))
			}
			if err := s.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			back := readBack(t, brokers)
			complete(t, s.Ledger(), back)
			cfg.Files = []string{whole}
			if diff := cmp.Diff(printedAs(t, cfg), abouts(back)); diff != "" {
				t.Errorf("of one file and of many (-one +many):\n%s", diff)
			}
		})
	}
}
