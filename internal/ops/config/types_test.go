// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1048588": 1048588, "1B": 1, "900kB": 900_000, "96MiB": 96 << 20, "64MB": 64e6,
		"2GiB": 2 << 30, "3GB": 3e9, "4KiB": 4096, "96mib": 96 << 20, "900 KB": 900_000,
		"9223372036854775807": math.MaxInt64,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, int64(got), err, want)
		}
	}
	for _, text := range []string{"", "kB", "-1", "+1", "1.5MiB", "96M", "1 2", "0x10", "1kBB", " 1",
		"9223372036854775808", "9223372036GiB", "٣"} {
		if got, err := ParseSize(text); !errors.Is(err, ErrSize) {
			t.Errorf("ParseSize(%q) = %d, %v, want ErrSize", text, int64(got), err)
		}
	}
}

func TestASizeIsWrittenInTheUnitThatDividesIt(t *testing.T) {
	for size, want := range map[Size]string{
		0: "0", 1: "1B", 999: "999B", 1000: "1kB", 1024: "1KiB", 900_000: "900kB", 8 << 20: "8MiB",
		96_000_000: "96MB", 1048588: "1048588B", 2 << 30: "2GiB", 1 << 62: "4294967296GiB",
		math.MaxInt64: "9223372036854775807B",
	} {
		if got := size.String(); got != want {
			t.Errorf("Size(%d) is written %s, want %s", int64(size), got, want)
		}
		if back, err := ParseSize(size.String()); err != nil || back != size {
			t.Errorf("%s is read back as %d, %v", size, int64(back), err)
		}
	}
}

func TestASizeIsAFlag(t *testing.T) {
	s := Size(7)
	if err := s.Set("lots"); !errors.Is(err, ErrSize) || s != 7 {
		t.Errorf("Set of no size: %v, and the size is %s", err, s)
	}
	if err := s.Set("1MiB"); err != nil || s != 1<<20 || s.Type() != "size" {
		t.Errorf("Set: %v, %s %s", err, s.Type(), s)
	}
}

func TestADurationIsWrittenWithoutZerosAtItsEnd(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 100 * time.Millisecond: "100ms", 10 * time.Second: "10s", time.Minute: "1m",
		24 * time.Hour: "24h", 90 * time.Minute: "1h30m", 70 * time.Second: "1m10s",
		time.Hour + 30*time.Second: "1h0m30s", 10*time.Hour + 10*time.Minute: "10h10m",
	} {
		got := formatDuration(d)
		if back, err := time.ParseDuration(got); got != want || err != nil || back != d {
			t.Errorf("%v is written %s and read back as %v, want %s", d, got, back, want)
		}
	}
}

func TestASecretIsNeverPrinted(t *testing.T) {
	const word = "hunter2"
	s := NewSecret(word)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("a", "secret", s)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("a", "secret", s, "in", struct{ S Secret }{s})
	j, err := json.Marshal(map[string]Secret{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(map[string]Secret{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	hidden := struct{ secret Secret }{s} // fmt calls no method on it
	for name, printed := range map[string]string{
		"log": log.String(), "json": string(j), "yaml": string(y), "value": secret(&s).words()[0],
		"verbs":  fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s),
		"hidden": fmt.Sprintf("%v %+v %#v", hidden, hidden, hidden),
	} {
		if strings.Contains(printed, word) || strings.Contains(printed, fmt.Sprintf("%x", word)) {
			t.Errorf("%s prints the secret: %s", name, printed)
		}
		if name != "hidden" && !strings.Contains(printed, redacted) {
			t.Errorf("%s does not say that there is one: %s", name, printed)
		}
	}
	if s.Reveal() != word {
		t.Errorf("Reveal gives %q", s.Reveal())
	}
}

func TestNoSecretIsNothing(t *testing.T) {
	var s Secret
	if s.Reveal() != "" || s.String() != "" || NewSecret("").String() != "" {
		t.Errorf("%q, %q", s.Reveal(), s)
	}
	if err := secret(&s).set([]string{"hunter2"}); err != nil || s.Reveal() != "hunter2" {
		t.Errorf("set: %v, %q", err, s.Reveal())
	}
}
