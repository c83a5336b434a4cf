// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// nearEnd is the end of the pair that sensors capture on; frames come from the other.
const nearEnd, farEnd = "near", "far"

// ledgerFile is what dnsluice writes at its end, and nobody else.
const ledgerFile = "ledger.json"

// live returns every program that is there, on an interface.
func (b binaries) live() []sensor {
	var l lineup
	l.add(b.dnsluice, liveLuice(1, 0), liveLuice(2, 0))
	l.add(b.dnsmonster, liveMonster())
	l.add(b.collector, liveCollector())
	return l
}

// liveLuice is dnsluice on an interface: with a ring of that many MiB for each lane, or the
// default if it is 0. The sensor's word about itself would be counted as a message.
func liveLuice(lanes, ring int) sensor {
	setting := fmt.Sprintf("%d lanes", lanes)
	if lanes == 1 {
		setting = "1 lane"
	}
	text := fmt.Sprintf("capture:\n  lanes: %d\n", lanes)
	if ring > 0 {
		setting += fmt.Sprintf(", ring %d MiB", ring)
		text += fmt.Sprintf("  ring_size: %dMiB\n", ring)
	}
	text += "deliver:\n  heartbeat: 0s\n"
	if ring > 0 {
		// What the rings leave for records must not differ.
		text += fmt.Sprintf("ops:\n  memory: %dMiB\n", 96+lanes*ring)
	}
	return sensor{program: "dnsluice", setting: setting, measure: "dnsluice " + setting,
		accounts: true,
		args: func(j job) []string {
			return []string{"run", "--config", j.config(), "--interface", j.device, "--brokers",
				j.broker, "--topic", j.topic, "--http", "off", "--ledger",
				filepath.Join(j.dir, ledgerFile)}
		},
		prepare: func(j job) (string, error) { return j.configure(text) }}
}

// liveMonster takes packets from a ring as well, of 64 MB by default. It does not ask the kernel
// what was dropped, which would begin the count anew.
func liveMonster() sensor {
	return sensor{program: "dnsmonster", setting: "JSON snappy",
		args: func(j job) []string {
			return []string{"--devname", j.device, "--useafpacket", "--kafkaoutputtype", "1",
				"--kafkaoutputbroker", j.broker, "--kafkaoutputtopic", j.topic,
				"--kafkacompress", "--kafkacompressiontype", "snappy", "--capturestatsdelay", "1h"}
		}}
}

func liveCollector() sensor {
	const input = "    afpacket-sniffer:\n      port: 53\n      device: %s\n"
	return collectorWith("JSON snappy", false, func(j job) (string, error) {
		return fmt.Sprintf(input, j.device), nil
	}, collectorKafka("snappy"))
}

// account is what dnsluice says of a run.
type account struct {
	kernel    int64  // packets that the kernel dropped, for want of room in the ring
	elsewhere string // what else was dropped, by stage and reason, or ""
}

// readAccount reads the ledger of a run. There is none, and no error, of other sensors.
func readAccount(j job) (a account, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(j.dir, ledgerFile))
	if os.IsNotExist(err) {
		return account{}, false, nil
	}
	if err != nil {
		return account{}, false, fmt.Errorf("ledger: %w", err)
	}
	a, err = parseAccount(text)
	return a, true, err
}

func parseAccount(text []byte) (a account, err error) {
	var l struct {
		Stages []struct {
			Stage   string           `json:"stage"`
			Dropped map[string]int64 `json:"dropped"`
		} `json:"stages"`
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return account{}, fmt.Errorf("ledger: %w", err)
	}
	var other []string
	captured := false
	for _, s := range l.Stages {
		for _, reason := range slices.Sorted(maps.Keys(s.Dropped)) {
			switch n := s.Dropped[reason]; {
			case s.Stage == "capture" && reason == "kernel":
				a.kernel, captured = n, true
			case reason == "tcp_empty": // a segment without data is no message
			case n > 0:
				other = append(other, fmt.Sprintf("%s dropped %s (%s)", s.Stage, thousands(n), reason))
			}
		}
	}
	if !captured {
		return account{}, errors.New("ledger: it does not say what the kernel dropped")
	}
	a.elsewhere = strings.Join(other, ", ")
	return a, nil
}
