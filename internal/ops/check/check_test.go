// SPDX-License-Identifier: Apache-2.0

package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// made runs checks and returns what became of each, as "level name: found -> do".
func made(t *testing.T, checks []Check) (lines []string, worst Level) {
	t.Helper()
	worst = Run(t.Context(), checks, time.Second, func(l Line) {
		text := l.Level.String() + " " + l.Name + ": " + l.Found
		if l.Do != "" {
			text += " -> " + l.Do
		}
		lines = append(lines, text)
	})
	return lines, worst
}

func always(r Result) func(context.Context) Result {
	return func(context.Context) Result { return r }
}

func TestALineSaysWhatToDoOnlyWhereThereIsSomethingToDo(t *testing.T) {
	lines, worst := made(t, []Check{
		{Name: "a", Run: always(ok("well")), Advice: "nothing"},
		{Name: "b", Run: always(warning("so so")), Advice: "look at it"},
		{Name: "c", Run: always(skipped("not configured")), Advice: "nothing"},
		{Name: "d", Run: always(warning("odd").but("do %d things", 2)), Advice: "look at it"},
	})
	want := []string{"ok a: well", "warning b: so so -> look at it", "skipped c: not configured",
		"warning d: odd -> do 2 things"}
	if diff := cmp.Diff(want, lines); diff != "" || worst != Warning {
		t.Errorf("worst %v (-want +got):\n%s", worst, diff)
	}
}

func TestAFailureSkipsAllThatNeedsItAndNothingElse(t *testing.T) {
	lines, worst := made(t, []Check{
		{Name: "a", Run: always(failure("gone")), Advice: "bring it back"},
		{Name: "b", Needs: "a", Run: always(ok("well"))},
		{Name: "c", Needs: "b", Run: always(ok("well"))},
		{Name: "d", Run: always(warning("so so"))},
		{Name: "e", Needs: "d", Run: always(ok("well"))},
	})
	want := []string{"failure a: gone -> bring it back", "skipped b: because of a", "skipped c: because of b",
		"warning d: so so", "ok e: well"}
	if diff := cmp.Diff(want, lines); diff != "" || worst != Failure {
		t.Errorf("worst %v (-want +got):\n%s", worst, diff)
	}
}

func TestACheckThatHangsIsAFailureAndDoesNotHoldTheOthersUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quit := make(chan struct{})
		defer close(quit)
		start := time.Now()
		lines, worst := made(t, []Check{
			{Name: "deaf", Run: func(context.Context) Result { <-quit; return ok("") }, Advice: "wake it"},
			{Name: "slow", Run: func(ctx context.Context) Result {
				<-ctx.Done()
				return failure("k1 did not answer")
			}},
			{Name: "next", Run: always(ok("well"))},
		})
		want := []string{"failure deaf: no result within 1s -> wake it", "failure slow: k1 did not answer", "ok next: well"}
		if diff := cmp.Diff(want, lines); diff != "" || worst != Failure {
			t.Errorf("worst %v (-want +got):\n%s", worst, diff)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestText(t *testing.T) {
	var b bytes.Buffer
	for _, l := range []Line{
		{Group: "machine", Name: "clock", Level: OK, Found: "synchronised"},
		{Group: "cluster", Name: "connect", Level: Failure, Found: errors.Join(errors.New("k1: refused"), errors.New("k2: refused")).Error(), Do: "start them"},
	} {
		if err := WriteText(&b, l); err != nil {
			t.Fatal(err)
		}
	}
	want := "ok       machine       clock        synchronised\n" +
		"failure  cluster       connect      k1: refused; k2: refused\n" +
		"                                    -> start them\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSON(t *testing.T) {
	r := Report{Result: Warning, Checks: []Line{{Group: "machine", Name: "clock", Level: Warning, Found: "off", Do: "set it", Took: 5}}}
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"result": "warning", "checks": []any{map[string]any{
		"group": "machine", "name": "clock", "level": "warning", "found": "off", "do": "set it", "took_ns": 5.}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := r.Summary(); got != "0 ok, 1 warnings, 0 failures, 0 skipped" {
		t.Error(got)
	}
}
