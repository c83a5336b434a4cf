// SPDX-License-Identifier: Apache-2.0

// Package notify tells systemd how the sensor is: that it is ready, that it stops, and one
// sentence for `systemctl status` (sd_notify(3)). Without systemd, when NOTIFY_SOCKET is not set,
// it does nothing.
package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Ready says that the sensor has started. A unit of Type=notify counts as started from here on.
// Like all of this package it waits only for a local datagram to be taken.
func Ready(sentence string) error { return send(daemon.SdNotifyReady, sentence) }

// Stopping says that the sensor has begun to shut down.
func Stopping(sentence string) error { return send(daemon.SdNotifyStopping, sentence) }

// Status says how the sensor is, and nothing else.
func Status(sentence string) error { return send("", sentence) }

// Alive says that all goes on, to a unit with WatchdogSec. When it is not called for that long,
// systemd ends the process and starts it again.
func Alive() error { return send(daemon.SdNotifyWatchdog, "") }

// AliveEvery returns how often Alive must be called, and 0 when nobody waits for it
// (sd_watchdog_enabled(3)).
func AliveEvery() (time.Duration, error) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0, fmt.Errorf("notify: WATCHDOG_USEC: %w", err)
	}
	return every / 2, nil
}

func send(state, sentence string) error {
	if sentence != "" {
		state = strings.TrimPrefix(state+"\nSTATUS="+oneLine(sentence), "\n")
	}
	if state == "" {
		return nil
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		return fmt.Errorf("notify: NOTIFY_SOCKET: %w", err)
	}
	return nil
}

// oneLine keeps the protocol whole: a line end in an error's text would begin an assignment of
// its own.
func oneLine(sentence string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, sentence)
}
