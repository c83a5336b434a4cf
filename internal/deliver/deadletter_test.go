// SPDX-License-Identifier: Apache-2.0

package deliver

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLettersThatCannotBeWrittenAreSaidNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		l := newDeadLetters("/nowhere/at/all", 1<<20, slog.New(slog.NewTextHandler(&said, nil)))
		done := make(chan struct{})
		go func() { l.run(); close(done) }()
		for range 3 {
			for range 100 {
				l.put(deadLetter{Reason: "rejected"}, []byte("{}"))
				synctest.Wait()
			}
			time.Sleep(missEvery) // virtual
		}
		l.close()
		<-done
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		want := []string{"letters=1 ", "letters=100 ", "letters=100 ", "letters=99 "}
		if len(lines) != len(want) {
			t.Fatalf("%d lines: %s", len(lines), said.String())
		}
		for i, words := range want {
			if !strings.Contains(lines[i]+" ", words) {
				t.Errorf("line %d has no %q: %s", i, words, lines[i])
			}
		}
	})
}

func TestLettersThatTheDiskHasNoTimeForAreSaid(t *testing.T) {
	var said bytes.Buffer
	path := filepath.Join(t.TempDir(), "dead-letter.jsonl")
	l := newDeadLetters(path, 1<<30, slog.New(slog.NewTextHandler(&said, nil)))
	value := append(append([]byte{'"'}, bytes.Repeat([]byte("x"), deadLetterQueue/4)...), '"')
	for range 5 { // of which three have room, with what is around them
		l.put(deadLetter{Reason: "rejected"}, value)
	}
	l.close()
	l.run()
	if text := said.String(); !strings.Contains(text, "letters=2 ") || strings.Count(text, "\n") != 1 {
		t.Errorf("the log says %q", text)
	}
	if n := l.count(); n != 3 {
		t.Errorf("%d letters are kept", n)
	}
}

func TestAFileForDeadLettersIsTriedBeforeItIsNeeded(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, []byte("a letter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, good := range map[string]bool{
		"": true, there: true, filepath.Join(dir, "new"): true, os.DevNull: true,
		dir: false, filepath.Join(dir, "no", "such"): false, filepath.Join(there, "below"): false,
	} {
		if err := CheckDeadLetter(path); (err == nil) != good {
			t.Errorf("%s: %v", path, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v is left, %v", entries, err)
	}
	if text, err := os.ReadFile(there); err != nil || string(text) != "a letter\n" {
		t.Errorf("%s: %v", text, err)
	}
}
