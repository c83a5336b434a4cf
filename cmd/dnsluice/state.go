// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// remindEvery is how often the log says again that a state lasts in which records do not get
// through. Whoever looks at the last minutes of a log must not take silence for health.
const remindEvery = 5 * time.Minute

// reportState logs each change of the state and tells the service manager, and repeats a state
// that lasts and is not ready. It ends with ctx.
func reportState(ctx context.Context, status func() deliver.Status, log *slog.Logger, tell func(string)) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last deliver.State
	var said time.Time
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		s, now := status(), time.Now()
		same := s.State == last
		if same && (s.State.Ready() || now.Sub(said) < remindEvery) {
			continue
		}
		last, said = s.State, now
		logState(ctx, log, s)
		if !same {
			tell(s.Sentence)
		}
	}
}

// logState logs one line, with figures that a search can use where records wait.
func logState(ctx context.Context, log *slog.Logger, s deliver.Status) {
	level, attrs := slog.LevelInfo, []any{"state", s.State, "since", s.Since.UTC().Format(time.RFC3339)}
	if !s.State.Ready() {
		level = slog.LevelWarn
		oldest := time.Duration(s.OldestAge * float64(time.Second)).Round(time.Second)
		attrs = append(attrs, "oldest_unacknowledged", oldest)
		if s.Spool != nil {
			attrs = append(attrs, "records_on_disk", s.Spool.Records)
		}
	}
	if s.LastError != "" {
		attrs = append(attrs, "last_error", s.LastError)
	}
	log.Log(ctx, level, "state: "+s.Sentence, attrs...)
}
