// SPDX-License-Identifier: Apache-2.0

// Package result is how a test that is a drill says what came of it: one line of JSON in the file
// that the environment variable DNSLUICE_DRILLS names. The table in docs/reliability.md is made
// from these lines and from nothing else.
package result

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

// Env names the file that results are appended to. Nothing is written when it is not set.
const Env = "DNSLUICE_DRILLS"

// Result is what one drill came to.
type Result struct {
	Drill      int           `json:"drill"`       // its number, 1 to 40
	What       string        `json:"what"`        // what was done
	Broker     string        `json:"broker"`      // "fake", or "Kafka 4.1" and the like
	In         uint64        `json:"in"`          // records given to delivery
	Lost       uint64        `json:"lost"`        // of these, not in the topic
	Dropped    uint64        `json:"dropped"`     // of these, reported as dropped
	Duplicated uint64        `json:"duplicated"`  // in the topic again, under the same identity
	Detect     time.Duration `json:"detect"`      // from the fault to State; 0: not measured
	Heal       time.Duration `json:"heal"`        // from its end until nothing waited; 0: not measured
	State      string        `json:"state"`       // what the sensor said of it; empty: all was well
	At         time.Time     `json:"at,omitzero"` // set by Write
}

// Write appends r to the file that Env names. A test that failed has no result.
func Write(t testing.TB, r Result) {
	t.Helper()
	path := os.Getenv(Env)
	if path == "" || t.Failed() {
		return
	}
	r.At = time.Now().UTC().Truncate(time.Second)
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil { // one write: tests run at the same time
		t.Fatal(err)
	}
}
