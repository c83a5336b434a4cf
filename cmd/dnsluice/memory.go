// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dnsluice/dnsluice/internal/deliver/spool"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// reckoned are the keys that the least memory is reckoned from. What is wrong with one of them is
// said already, and what is reckoned from it would mislead.
var reckoned = []string{"capture.lanes", "capture.ring_size", "capture.dnstap_connections",
	"decode.tcp_memory", "decode.fragment_memory", "match.memory", "deliver.batch_size"}

// enough tells, with all other mistakes and before anything is opened, whether a run has too little
// memory, and what the least is for just this run.
func enough(cfg config.Config) error {
	var wrong config.Mistakes
	if errors.As(cfg.Validate(), &wrong) && slices.ContainsFunc(wrong, func(m config.Mistake) bool {
		return slices.Contains(reckoned, m.Key)
	}) {
		return nil
	}
	settings, err := sensorConfig(cfg)
	if err != nil {
		return nil // a word that is not known, which Validate says
	}
	if spooled(cfg) {
		settings.Deliver.Spool = new(spool.Spool) // that there is one counts, and nothing is asked of it
	}
	lanes, least := sensor.Least(settings)
	if int64(cfg.Ops.Memory) >= int64(least) {
		return nil
	}
	what := "a lane"
	if lanes > 1 {
		what = fmt.Sprintf("%d lanes", lanes)
	}
	const mib = 1 << 20
	return config.Mistakes{{Key: "ops.memory", What: fmt.Sprintf("%s is too little for %s; use %dMiB or more, "+
		"or less of capture.lanes, capture.ring_size or deliver.batch_size", cfg.Ops.Memory, what,
		(least+mib-1)/mib)}}
}

// spooled tells whether a run has a spool.
func spooled(cfg config.Config) bool {
	return cfg.Spool.Dir != "" && cfg.Deliver.Mode != config.AtMostOnce
}
