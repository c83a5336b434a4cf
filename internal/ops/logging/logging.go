// SPDX-License-Identifier: Apache-2.0

// Package logging sets up log/slog. It owns nothing but the writer it is given.
package logging

import (
	"fmt"
	"io"
	"log/slog"
)

// New returns a logger that writes to w, at a level (debug, info, warn, error) and in a format
// (text, json). Its error names the word that is not known.
func New(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	switch level {
	case "debug":
		l = slog.LevelDebug
	case "info":
		l = slog.LevelInfo
	case "warn":
		l = slog.LevelWarn
	case "error":
		l = slog.LevelError
	default:
		return nil, fmt.Errorf("logging: level %q is none of debug, info, warn, error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("logging: format %q is none of text, json", format)
}
