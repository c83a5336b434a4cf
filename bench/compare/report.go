// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/dnsluice/dnsluice/bench/compare/traffic"
)

// marks stand around a generated part of a page, so that it can be written again.
type marks string

const (
	ofCompare marks = "compare"
	ofCurves  marks = "curves"
	ofLive    marks = "live"
	ofLanes   marks = "lanes"
)

func (m marks) begin() string { return "<!-- " + string(m) + ": generated -->\n" }
func (m marks) end() string   { return "<!-- " + string(m) + ": end -->\n" }

// report is the page that a comparison results in.
type report struct {
	manifest traffic.Manifest
	rounds   int
	sensors  []sensor
	fields   []field
}

// markdown returns machine, versions, tables, notes and commands.
func (r report) markdown() (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "Machine: %s.\n\n", machine())
	m := r.manifest
	fmt.Fprintf(&b, "Capture: seed %d, %s messages in %s packets, %.1f MB; %s over TCP, %s over IPv6, "+
		"%s with EDNS, %s NXDOMAIN. Rounds: %d.\n\n", m.Seed, thousands(int64(m.Messages)),
		thousands(int64(m.Packets)), float64(m.Bytes)/1e6, thousands(int64(m.TCP)),
		thousands(int64(m.IPv6)), thousands(int64(m.EDNS)), thousands(int64(m.NXDomain)), r.rounds)
	if err := versions(&b, r.sensors); err != nil {
		return "", err
	}
	for _, f := range r.fields {
		fmt.Fprintf(&b, "\n### To %s\n\n%s%s", f.sink, f.table().markdown(), f.notes())
	}
	commands, err := commands(r.sensors)
	return b.String() + "\n### Commands\n\n" + commands, err
}

// versions writes a table of the programs.
func versions(b *strings.Builder, sensors []sensor) error {
	b.WriteString("| program | version |\n|---|---|\n")
	listed := map[string]bool{}
	for _, s := range sensors {
		if listed[s.program] {
			continue
		}
		listed[s.program] = true
		v, err := version(s.binary)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "| %s | %s |\n", s.program, v)
	}
	return nil
}

func (f field) notes() string {
	return notes(f.sensors, f.results, func(r result) string { return r.note })
}

// notes returns what has to be known of single runs, as a list.
func notes[R any](sensors []sensor, results [][]R, of func(R) string) string {
	var b strings.Builder
	for i, s := range sensors {
		var said []string
		for _, r := range results[i] {
			if note := of(r); note != "" && !slices.Contains(said, note) {
				said = append(said, note)
			}
		}
		if len(said) > 0 {
			fmt.Fprintf(&b, "\n- %s: %s", s.name(), strings.ReplaceAll(strings.Join(said, "; "), "\n", " "))
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// commands returns how each sensor was called, with names in the place of paths and addresses.
func commands(sensors []sensor) (string, error) {
	var b strings.Builder
	for _, s := range sensors {
		dir, err := os.MkdirTemp("", "compare-")
		if err != nil {
			return "", fmt.Errorf("commands: %w", err)
		}
		j := job{capture: dir + "/capture.pcap", device: nearEnd, dir: dir, broker: sketchBroker,
			topic: "dns"}
		fmt.Fprintf(&b, "%s:\n\n```\n", s.name())
		text := strings.ToLower(s.program) + " " + strings.Join(s.args(j), " ") + "\n"
		if s.prepare != nil {
			config, err := s.prepare(j)
			if err != nil {
				return "", errors.Join(err, os.RemoveAll(dir))
			}
			if config != "" {
				text += "\n" + config
			}
		}
		b.WriteString(strings.ReplaceAll(text, dir+"/", "") + "```\n\n")
		if err := os.RemoveAll(dir); err != nil {
			return "", fmt.Errorf("commands: %w", err)
		}
	}
	return b.String(), nil
}

// version reads of a Go binary what it was built from. A binary that was not built from a released
// module says so, and is named by its digest.
func version(binary string) (string, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return "", fmt.Errorf("version of %s: %w", binary, err)
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		f, err := os.Open(binary)
		if err != nil {
			return "", fmt.Errorf("version of %s: %w", binary, err)
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return "", fmt.Errorf("version of %s: %w", binary, err)
		}
		v = fmt.Sprintf("built from a tree, SHA-256 %x…", h.Sum(nil)[:6])
	}
	v = info.Main.Path + " " + v + ", " + info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "CGO_ENABLED" && s.Value == "1" {
			v += ", cgo"
		}
	}
	for _, d := range info.Deps {
		// What encodes their JSON, and what sends it, weighs most.
		if slices.Contains([]string{"github.com/bytedance/sonic", "github.com/segmentio/kafka-go",
			"github.com/twmb/franz-go"}, d.Path) {
			v += ", " + d.Path[strings.LastIndexByte(d.Path, '/')+1:] + " " + d.Version
		}
	}
	return v, nil
}

// machine says what this computer is.
func machine() string {
	field := func(file, name string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			return "unknown"
		}
		_, rest, _ := strings.Cut(string(text), name)
		line, _, _ := strings.Cut(rest, "\n")
		return strings.TrimSpace(strings.TrimLeft(line, "\t :"))
	}
	return fmt.Sprintf("%d CPUs (%s), %s of memory, %s %s", runtime.NumCPU(),
		field("/proc/cpuinfo", "model name"), field("/proc/meminfo", "MemTotal:"), runtime.GOOS,
		field("/proc/sys/kernel/osrelease", ""))
}

// write puts the text between the marks of a page, or makes the page if there is none.
func write(path string, m marks, text string) error {
	page, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("report: %w", err)
	}
	before, rest, ok := strings.Cut(string(page), m.begin())
	_, after, ended := strings.Cut(rest, m.end())
	if len(page) > 0 && (!ok || !ended) {
		return fmt.Errorf("report: %s has no lines %q and %q to write between", path,
			strings.TrimSpace(m.begin()), strings.TrimSpace(m.end()))
	}
	text = before + m.begin() + "\n" + strings.TrimSpace(text) + "\n\n" + m.end() + after
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
