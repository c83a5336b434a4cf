// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/ops/config"
)

// TestTheUnitStartsASensor holds the unit of systemd against the program: systemd-analyze verify
// knows what systemd wants of it, and nothing of us.
func TestTheUnitStartsASensor(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.FromSlash("../../deploy/dnsluice.service"))
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(string(data), -1) {
		settings[m[1]] = m[2]
	}
	words := strings.Fields(settings["ExecStart"])
	if len(words) < 2 {
		t.Fatalf("it starts %q", settings["ExecStart"])
	}
	c, rest, err := command().Find(words[1:])
	if err != nil || c.Name() != "run" {
		t.Fatalf("it starts %v, %v", c.Name(), err)
	}
	if err := c.ParseFlags(rest); err != nil || c.Flags().NArg() > 0 {
		t.Errorf("its flags: %v, arguments %q", err, c.Flags().Args())
	}
	// Killed before it has written to disk what it could not deliver, it would lose that.
	const toDisk = 5 * time.Second
	stop, err := time.ParseDuration(settings["TimeoutStopSec"] + "s")
	if least := config.Default().Deliver.Grace + toDisk; err != nil || stop <= least {
		t.Errorf("it is given %s to stop, %v; want more than %s", stop, err, least)
	}
	for key, want := range map[string]string{"Type": "notify", "AmbientCapabilities": "CAP_NET_RAW"} {
		if settings[key] != want {
			t.Errorf("%s=%s, want %s", key, settings[key], want)
		}
	}
}
