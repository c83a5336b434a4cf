// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// CaptureDown is the state of a sensor that would deliver, if an interface or a socket gave it
// anything.
const CaptureDown deliver.State = "capture_down"

// outage is when an interface or a socket gave nothing.
type outage struct {
	mu    sync.Mutex // guards the following
	since time.Time  // zero while all capture
	ended time.Time  // the newest; zero if there was none
}

// over returns the status of a sensor of which delivery says that, and capture err.
func (o *outage) over(status deliver.Status, err error, now time.Time) deliver.Status {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil && o.since.IsZero():
		o.since = now
	case err == nil && !o.since.IsZero():
		o.since, o.ended = time.Time{}, now
	}
	if !status.State.Ready() {
		return status
	}
	if err != nil {
		status.State, status.Since, status.LastError = CaptureDown, o.since, err.Error()
		status.Sentence = fmt.Sprintf("%s since %s: %v; capture goes on by itself when it is back",
			CaptureDown, stamp(o.since), err)
		return status
	}
	if status.Since.Before(o.ended) { // delivery was well all the time, the sensor was not
		status.Sentence = strings.Replace(status.Sentence, stamp(status.Since), stamp(o.ended), 1)
		status.Since = o.ended
	}
	return status
}

// stamp is a time as the sentences of states write it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

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
	return unplugged(s.outage.over(s.delivery.Status(), s.captureError(), time.Now()), s.withoutCarrier())
}

// unplugged returns the status of a sensor whose interfaces of these names have no carrier. It stays
// ready, for that may be as it should, of a spare one; but where somebody asks why nothing comes, it
// is the answer.
func unplugged(status deliver.Status, names []string) deliver.Status {
	if len(names) > 0 && status.State.Ready() {
		status.Sentence += fmt.Sprintf("; nothing comes from %s, without a carrier: look at the cable, or the other end",
			strings.Join(names, ", "))
	}
	return status
}

// withoutCarrier returns the names of the interfaces that are up and connected to nothing.
func (s *Sensor) withoutCarrier() (names []string) {
	for i, g := range s.groups {
		if !g.Carrier() {
			names = append(names, s.cfg.Interfaces[i])
		}
	}
	return names
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
