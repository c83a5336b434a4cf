// SPDX-License-Identifier: Apache-2.0

package sender

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// Request asks for frames. They begin where the last request ended.
type Request struct {
	Rate int           `json:"rate"` // frames a second; 0 is as fast as they go
	For  time.Duration `json:"for"`
}

// Reply says what went out.
type Reply struct {
	Packets  int64         `json:"packets"`
	Messages int64         `json:"messages"` // DNS messages in them
	Took     time.Duration `json:"took"`
	Error    string        `json:"error,omitempty"`
}

// Serve loads a capture, writes a line to out when it has, and answers requests, a line of JSON
// each, until in ends. The interface need not be there before the first request, which sets it up.
func Serve(device, path string, in io.Reader, out io.Writer) error {
	f, err := load(path)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return fmt.Errorf("sender: report: %w", err)
	}
	var s *socket
	replies := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var req Request
		if err := json.Unmarshal(lines.Bytes(), &req); err != nil {
			return fmt.Errorf("sender: request: %w", err)
		}
		if s == nil {
			if s, err = open(device, f); err != nil {
				return errors.Join(err, replies.Encode(Reply{Error: err.Error()}))
			}
			defer s.close()
		}
		r, err := s.send(req)
		if err != nil {
			r.Error = err.Error()
		}
		if err := errors.Join(err, replies.Encode(r)); err != nil {
			return err
		}
	}
	return nil
}

// Up sets an interface up without giving it an address: nothing but these frames is to pass.
func Up(device string) error {
	out, err := exec.Command("ip", "link", "set", device, "up", "addrgenmode", "none").CombinedOutput()
	if err != nil {
		return fmt.Errorf("sender: set %s up: %w: %s", device, err, out)
	}
	return nil
}
