// SPDX-License-Identifier: Apache-2.0

package logging

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNewWritesFromTheLevelUp(t *testing.T) {
	for i, level := range []string{"debug", "info", "warn", "error"} {
		var got strings.Builder
		log, err := New(&got, level, "text")
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("a")
		log.Info("a")
		log.Warn("a")
		log.Error("a")
		if lines := strings.Count(got.String(), "\n"); lines != 4-i {
			t.Errorf("level %s writes %d lines, want %d", level, lines, 4-i)
		}
	}
}

func TestNewWritesTheFormat(t *testing.T) {
	for format, want := range map[string]string{
		"text": "msg=hello stage=capture", "json": `"msg":"hello","stage":"capture"`,
	} {
		var got strings.Builder
		log, err := New(&got, "info", format)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("hello", "stage", "capture")
		if !strings.Contains(got.String(), want) {
			t.Errorf("format %s writes %q, want %q in it", format, got.String(), want)
		}
	}
}

func TestNewNamesTheUnknownWord(t *testing.T) {
	for _, test := range []struct{ level, format, want string }{
		{"loud", "text", `logging: level "loud" is none of debug, info, warn, error`},
		{"info", "xml", `logging: format "xml" is none of text, json`},
	} {
		if _, err := New(nil, test.level, test.format); err == nil || err.Error() != test.want {
			t.Errorf("error is %v, want %s", err, test.want)
		}
	}
}

// plain returns a logger without time stamps that writes to w.
func plain(w *strings.Builder) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
}

func TestSamplerLogsTheFirstAndThenOneInEachInterval(t *testing.T) {
	var got strings.Builder
	now := time.Unix(0, 0)
	s := NewSampler(plain(&got), time.Minute, func() time.Time { return now })
	s.Warn("dropped", "n", 1)
	s.Warn("dropped", "n", 2)
	now = now.Add(time.Minute - 1)
	s.Warn("dropped", "n", 3)
	now = now.Add(1)
	s.Error("dropped", "n", 4)
	now = now.Add(time.Minute)
	s.Warn("dropped", "n", 5)
	want := "level=WARN msg=dropped n=1\n" +
		"level=ERROR msg=dropped n=4 suppressed=2\n" +
		"level=WARN msg=dropped n=5\n"
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestSamplerLeavesTheCallersArgumentsAlone(t *testing.T) {
	now := time.Unix(0, 0)
	s := NewSampler(plain(new(strings.Builder)), time.Second, func() time.Time { return now })
	s.Warn("a")
	s.Warn("a")
	now = now.Add(time.Second)
	args := []any{"k", 1, "mine", 2}
	s.Warn("a", args[:2]...)
	if diff := cmp.Diff([]any{"k", 1, "mine", 2}, args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestSamplerCountsEveryLineOfManyGoroutines(t *testing.T) {
	var got strings.Builder
	now := time.Unix(0, 0)
	s := NewSampler(plain(&got), time.Second, func() time.Time { return now })
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { s.Warn("a") })
	}
	wg.Wait()
	now = now.Add(time.Second)
	s.Warn("a")
	want := "level=WARN msg=a\nlevel=WARN msg=a suppressed=99\n"
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}
