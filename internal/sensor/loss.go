// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// losses returns how many records of a run that has ended no broker has, or nil.
//
// A run over files is asked by its exit status whether all of them arrived: what waits on disk has
// not. A live one goes on for months and says what it drops while it does; at its end only what
// that end has cost is new, and what is on disk is for the next start.
func (s *Sensor) losses() error {
	c := s.delivery.Counters()
	var errs []error
	if lost := c.Dropped[deliver.Shutdown]; lost > 0 {
		errs = append(errs, fmt.Errorf("sensor: %d records were not acknowledged within %s and are lost",
			lost, s.cfg.Grace))
	}
	if !s.live() {
		errs = append(errs, s.dropped(c))
		if c.Spooled > 0 {
			errs = append(errs, fmt.Errorf("sensor: %d records were not acknowledged and wait in the spool: "+
				"the next run with it delivers them", c.Spooled))
		}
	}
	return errors.Join(errs...)
}

// dropped returns one line about what was dropped other than by the end of the run, or nil.
func (s *Sensor) dropped(c deliver.Counters) error {
	c.Dropped[deliver.Shutdown] = 0
	var why []string
	var sum uint64
	for reason, n := range c.Dropped {
		if n > 0 {
			why, sum = append(why, fmt.Sprintf("%s %d", deliver.Reason(reason), n)), sum+n
		}
	}
	if earlier := c.ReplayDropped; earlier > 0 {
		why, sum = append(why, fmt.Sprintf("of an earlier run %d", earlier)), sum+earlier
	}
	if sum == 0 {
		return nil
	}
	kept := ""
	if c.DeadLetters > 0 {
		kept = fmt.Sprintf("; %d are in the dead-letter file %s", c.DeadLetters, s.cfg.Deliver.DeadLetter)
	}
	return fmt.Errorf("sensor: %d records were dropped (%s)%s", sum, strings.Join(why, ", "), kept)
}
