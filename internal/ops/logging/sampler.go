// SPDX-License-Identifier: Apache-2.0

package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Sampler lets one kind of line through: the first, then at most one in each interval. The next
// line says how many were suppressed before it. Each kind has a Sampler of its own. What it
// suppresses has to be counted elsewhere as well: a line that never comes again tells nobody.
// It is safe for concurrent use.
type Sampler struct {
	log   *slog.Logger
	every time.Duration
	now   func() time.Time

	mu         sync.Mutex // guards the following
	next       time.Time  // when a line may be written again; zero before the first
	suppressed uint64
}

// NewSampler returns a sampler that writes to log at most once in each interval, as now tells
// the time (time.Now but in tests).
func NewSampler(log *slog.Logger, every time.Duration, now func() time.Time) *Sampler {
	return &Sampler{log: log, every: every, now: now}
}

// Warn logs at level warn, or counts the line as suppressed.
func (s *Sampler) Warn(msg string, args ...any) { s.write(slog.LevelWarn, msg, args) }

// Error logs at level error, or counts the line as suppressed.
func (s *Sampler) Error(msg string, args ...any) { s.write(slog.LevelError, msg, args) }

func (s *Sampler) write(level slog.Level, msg string, args []any) {
	suppressed, ok := s.turn()
	if !ok {
		return
	}
	if suppressed > 0 {
		// A new slice: args may have room at its end that belongs to the caller.
		args = append(append([]any(nil), args...), "suppressed", suppressed)
	}
	s.log.Log(context.Background(), level, msg, args...)
}

// turn says whether a line may be written now, and how many were not since the last one.
func (s *Sampler) turn() (suppressed uint64, ok bool) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		s.suppressed++
		return 0, false
	}
	suppressed, s.suppressed = s.suppressed, 0
	s.next = now.Add(s.every)
	return suppressed, true
}
