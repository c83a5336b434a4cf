// SPDX-License-Identifier: Apache-2.0

package pcapfile

import (
	"io"
	rational "math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dnsluice/dnsluice/test/need"
)

const catalog = "../../../../shared/pcaps"

// customBlocks are the frame numbers that tshark spent on custom blocks of pcapng, which are no
// packets: capinfos and the catalogue do not count them either.
var customBlocks = map[string][]int{"derived__multi_if_section_tsresol.pcapng": {1, 42}}

// table returns the rows of a file of tab-separated values, by column name.
func table(t *testing.T, path string) []map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimPrefix(strings.TrimSuffix(string(b), "\n"), "#"), "\n")
	names := strings.Split(lines[0], "\t")
	var rows []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, value := range strings.Split(line, "\t") {
			row[names[i]] = value
		}
		rows = append(rows, row)
	}
	return rows
}

// TestCatalog reads real captures and compares with tshark: how many packets, and the time of
// those that hold DNS.
func TestCatalog(t *testing.T) {
	if _, err := os.Stat(catalog); err != nil {
		need.Cannot(t, "needs the catalogue of captures beside the repository: ", err)
	}
	for _, row := range table(t, filepath.Join(catalog, "CATALOG.tsv")) {
		t.Run(row["file"], func(t *testing.T) {
			all, err := readAll(t, New(filepath.Join(catalog, row["file"])))
			if err != io.EOF || strconv.Itoa(len(all)) != row["packets"] {
				t.Fatalf("%d packets of %s, then %v", len(all), row["packets"], err)
			}
			oracle := filepath.Join(catalog, "oracle", row["file"]+".tsv")
			if _, err := os.Stat(oracle); err != nil {
				return // a capture without DNS
			}
			for _, message := range table(t, oracle) {
				number, err := strconv.Atoi(message["frame"])
				frame := number
				for _, custom := range customBlocks[row["file"]] {
					if custom < number {
						frame--
					}
				}
				if err != nil || frame > len(all) {
					t.Fatalf("frame %q of %d: %v", message["frame"], len(all), err)
				}
				want, _ := new(rational.Rat).SetString(message["time_epoch"] + "e9")
				if message["time_epoch"] == "" { // a simple packet block
					want = new(rational.Rat)
				}
				if have := new(rational.Rat).SetInt64(all[frame-1].Time); have.Cmp(want) != 0 {
					t.Errorf("frame %d: time %s, want %s", frame, have, want)
				}
			}
		})
	}
}
