// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// lines keeps what is logged, each line with the minute in which it was.
type lines struct {
	start time.Time
	all   []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.all = append(l.all, fmt.Sprintf("%d: %s", int(time.Since(l.start).Minutes()), strings.TrimSpace(string(p))))
	return len(p), nil
}

func TestALongOutageIsNotOneLineInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		out := &lines{start: start}
		log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey || a.Key == slog.MessageKey || a.Key == "since" {
					return slog.Attr{}
				}
				return a
			}}))
		outage := [2]time.Duration{20*time.Minute + time.Second/2, 31*time.Minute + time.Second/2}
		status := func() deliver.Status {
			at := time.Since(start)
			if at < outage[0] || at > outage[1] {
				return deliver.Status{State: deliver.Flowing, Since: start, Sentence: "well"}
			}
			age := at - outage[0]
			return deliver.Status{State: deliver.Unreachable, Since: start.Add(outage[0]), Sentence: "away",
				OldestAge: age.Seconds(), LastError: "refused", Spool: &deliver.SpoolStatus{Records: uint64(age.Minutes())}}
		}
		var told []string
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		reportState(ctx, status, log, func(sentence string) { told = append(told, sentence) })

		away := "%d: level=WARN state=unreachable oldest_unacknowledged=%s records_on_disk=%d last_error=refused"
		want := []string{
			"0: level=INFO state=flowing",
			fmt.Sprintf(away, 20, "1s", 0),
			fmt.Sprintf(away, 25, "5m1s", 5),
			fmt.Sprintf(away, 30, "10m1s", 10),
			"31: level=INFO state=flowing",
		}
		if diff := cmp.Diff(want, out.all); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"well", "away", "well"}, told); diff != "" {
			t.Errorf("the service manager was told (-want +got):\n%s", diff)
		}
	})
}
