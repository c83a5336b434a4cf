// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"time"

	"github.com/dnsluice/dnsluice/internal/encode"
)

// CanaryState is the state in the heartbeat that a canary is.
const CanaryState = "canary"

// Canary returns a record that proves that records get through, and that nobody takes for
// anything else: the only heartbeat of a run of its own, of a sensor of its own name, so that who
// looks for the last sign of the sensor itself does not find it. The format is that of Config.
func Canary(format, sensor string, now time.Time) ([]byte, error) {
	const suffix = "/canary"
	e, err := newEncoder(format, encode.Identity{Sensor: sensor + suffix, Run: RunID(now)})
	if err != nil {
		return nil, err
	}
	return e.AppendHeartbeat(nil, 1, &encode.Heartbeat{
		Time: now, Last: true, State: CanaryState, Since: now,
		Totals: encode.Totals{Records: 1, Held: 1},
		Lanes:  []encode.Lane{{Seq: 1}},
	}), nil
}
