// SPDX-License-Identifier: Apache-2.0

package logging

import (
	"strings"
	"testing"
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
