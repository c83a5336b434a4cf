// SPDX-License-Identifier: Apache-2.0

package sensor

// LaneStatus is the account of one lane, in short.
type LaneStatus struct {
	Lane      int    `json:"lane"`
	Interface string `json:"interface,omitempty"` // or the socket; empty: files

	Received uint64 `json:"received"` // packets that the source had for it
	Read     uint64 `json:"read"`     // that it took
	Kernel   uint64 `json:"kernel_dropped"`
	Messages uint64 `json:"messages"`
	Records  uint64 `json:"records"` // numbers given
	Dropped  uint64 `json:"dropped"` // of these, for lack of memory or as too large
}

// Lanes returns the accounts of all lanes as of their last turns.
func (s *Sensor) Lanes() []LaneStatus {
	all := make([]LaneStatus, len(s.lanes))
	for i, l := range s.lanes {
		t, a := l.count(), s.intakes[i].Account()
		all[i] = LaneStatus{
			Lane: i, Received: t.capture.Received, Read: t.capture.Read, Kernel: t.capture.KernelDropped,
			Messages: t.decode.Messages, Records: a.Records, Dropped: a.Dropped,
		}
		sniffing := s.cfg.Lanes * len(s.cfg.Interfaces)
		if i < sniffing {
			all[i].Interface = s.cfg.Interfaces[i/s.cfg.Lanes]
		} else if n := i - sniffing; n < len(s.cfg.DNSTap) { // sockets come after interfaces
			all[i].Interface = s.cfg.DNSTap[n].Listen
		}
	}
	return all
}
