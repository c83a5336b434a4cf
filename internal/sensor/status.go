// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"fmt"
	"sync"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// CaptureDown is the state of a sensor that would deliver, if an interface or a socket gave it
// anything.
const CaptureDown deliver.State = "capture_down"

// outage is since when an interface or a socket gives nothing.
type outage struct {
	mu    sync.Mutex // guards the following
	since time.Time  // zero while all capture
}

// Status returns the state of the sensor: what the watchdog found, or that of the delivery, or,
// where that is well, of the capture.
func (s *Sensor) Status() deliver.Status {
	a := s.alarm.Load()
	switch {
	case a == nil:
		return s.path()
	case a.Blind:
		return a.over(deliver.Status{})
	}
	return a.over(s.path())
}

// path is Status without the watchdog.
func (s *Sensor) path() deliver.Status {
	status := s.delivery.Status()
	err := s.captureError()
	s.outage.mu.Lock()
	defer s.outage.mu.Unlock()
	switch {
	case err == nil:
		s.outage.since = time.Time{}
		return status
	case s.outage.since.IsZero():
		s.outage.since = time.Now()
	}
	if status.State.Ready() {
		status.State, status.Since, status.LastError = CaptureDown, s.outage.since, err.Error()
		status.Sentence = fmt.Sprintf("%s since %s: %v; capture goes on by itself when it is back",
			CaptureDown, status.Since.UTC().Format(time.RFC3339), err)
	}
	return status
}

// captureError returns why an interface or a socket gives nothing now, or nil.
func (s *Sensor) captureError() error {
	for _, g := range s.groups {
		for i := range s.cfg.Lanes {
			if err := g.Lane(i).Err(); err != nil {
				return err
			}
		}
	}
	for _, socket := range s.sockets {
		if err := socket.Err(); err != nil {
			return err
		}
	}
	return nil
}
