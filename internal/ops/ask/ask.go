// SPDX-License-Identifier: Apache-2.0

// Package ask is the other end of httpd's /api/state: it asks a running sensor how it is. The
// types here are what the answer looks like; a sensor of another version may say less, and what
// is not said is zero.
package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/dnsluice/dnsluice/internal/ops/ledger"
)

// Answer is what a sensor says.
type Answer struct {
	Version string        `json:"version"`
	Sensor  string        `json:"sensor"`
	Run     string        `json:"run"`
	State   State         `json:"state"`
	Ledger  ledger.Ledger `json:"ledger"`
	Detail  Detail        `json:"detail"`
}

// State is how the sensor is.
type State struct {
	Name     string    `json:"name"`
	Since    time.Time `json:"since"`
	Sentence string    `json:"sentence"` // what it means and what can be done
	Ready    bool      `json:"ready"`
}

// Detail is the evidence.
type Detail struct {
	Time     time.Time `json:"time"` // of the answer, by the sensor's clock
	Started  time.Time `json:"started"`
	Process  Process   `json:"process"`
	Lanes    []Lane    `json:"lanes"`
	Delivery Delivery  `json:"delivery"`

	Connections []Connection `json:"connections"`
}

// Process is what the sensor takes of its machine.
type Process struct {
	Limit      uint64  `json:"memory_limit"`    // bytes that it may use
	Resident   uint64  `json:"memory_resident"` // bytes that it uses; 0 when the system does not tell
	CPU        float64 `json:"cpu_seconds"`     // since the start, user and system
	Goroutines int     `json:"goroutines"`
}

// Lane is one lane. Its counters are those of the ledger, for one lane.
type Lane struct {
	Lane      int    `json:"lane"`
	Interface string `json:"interface,omitempty"` // or the socket; empty: it reads files

	Received uint64 `json:"received"` // packets that the kernel had for it
	Read     uint64 `json:"read"`
	Kernel   uint64 `json:"kernel_dropped"`
	Messages uint64 `json:"messages"`
	Records  uint64 `json:"records"`
	Dropped  uint64 `json:"dropped"` // records for which there was no room
}

// Delivery is how stage 7 is.
type Delivery struct {
	Behind     []string    `json:"behind"` // the states that have led to this one
	LastError  string      `json:"last_error"`
	LastAck    time.Time   `json:"last_ack"` // zero: there was none
	OldestAge  float64     `json:"oldest_age_seconds"`
	Waiting    int         `json:"batches_waiting"`
	Free       int         `json:"batches_free"`
	Recycled   uint64      `json:"recycled"`
	Leaderless int         `json:"partitions_leaderless"`
	Once       bool        `json:"at_most_once"`
	Spool      *Spool      `json:"spool"` // nil: there is none
	Probe      *Probe      `json:"probe"` // nil: there was none
	Leaders    []Partition `json:"leaders"`
}

// Spool is what waits on disk.
type Spool struct {
	Records  uint64    `json:"records"`
	Bytes    uint64    `json:"bytes"`
	MaxBytes uint64    `json:"bytes_max"`
	Free     uint64    `json:"bytes_free"` // of the file system
	Oldest   time.Time `json:"oldest"`
	FullIn   float64   `json:"full_in_seconds"` // 0: it does not grow
	Error    string    `json:"error"`
}

// Probe is the newest try to reach the cluster in another way.
type Probe struct {
	At    time.Time `json:"at"`
	OK    bool      `json:"ok"`
	Error string    `json:"error"`
}

// Partition is one partition of the topic.
type Partition struct {
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"`            // -1: there is none
	InFlight  float64 `json:"in_flight_seconds"` // age of the batch on its way; 0: none
	Failing   float64 `json:"failing_seconds"`   // 0: it does not fail
	State     string  `json:"state"`
	LastError string  `json:"last_error"`
}

// Connection is one open connection to a broker.
type Connection struct {
	Broker   int32     `json:"broker"` // -1: one of the brokers to begin with
	Remote   string    `json:"remote"`
	Since    time.Time `json:"since"`
	TLS      string    `json:"tls"`
	Sent     uint64    `json:"sent_bytes"`
	Received uint64    `json:"received_bytes"`
	Kernel   *Kernel   `json:"kernel"` // nil: the kernel does not tell
}

// Kernel is what the kernel knows of a connection.
type Kernel struct {
	State            string        `json:"state"`
	Queued           uint64        `json:"queued_bytes"` // not acknowledged by the peer's kernel
	Retransmits      uint8         `json:"retransmits"`  // in a row
	TotalRetransmits uint32        `json:"total_retransmits"`
	RTT              time.Duration `json:"rtt_ns"`
	SinceReceived    time.Duration `json:"since_received_ns"`
	SinceSent        time.Duration `json:"since_sent_ns"`
}

const (
	// patience is how long a sensor on the same machine may take to answer one question.
	patience = 2 * time.Second
	// longest is more than any sensor has to say.
	longest = 16 << 20
)

// ErrNoSensor is the error of Sensor when no sensor answers there.
var ErrNoSensor = errors.New("no sensor answers")

// Sensor asks the sensor at address, a host:port, how it is. It blocks for a few seconds at most.
// Its error is always an ErrNoSensor.
//
// A sensor that is stuck so badly that nobody can read its counters may still say so: then the
// answer has the state and nothing else.
func Sensor(ctx context.Context, address string) (Answer, error) {
	base := "http://" + local(address)
	var a Answer
	err := get(ctx, base+"/api/state", a.read)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		a = Answer{Sensor: "the sensor at " + address}
		if get(ctx, base+"/readyz", a.readReady) == nil {
			return a, nil
		}
	}
	if err != nil {
		return Answer{}, fmt.Errorf("ask: %w at %s (see --http): %w", ErrNoSensor, address, err)
	}
	return a, nil
}

// local puts the loopback address where address has none, as in :9953.
func local(address string) string {
	if host, port, err := net.SplitHostPort(address); err == nil && host == "" {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// get asks for a page and gives the answer to read.
func get(ctx context.Context, url string, read func(code int, body io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// No proxy: it has no business between a sensor and its operator.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return read(resp.StatusCode, io.LimitReader(resp.Body, longest))
}

// read reads /api/state.
func (a *Answer) read(code int, body io.Reader) error {
	if code != http.StatusOK {
		return fmt.Errorf("it answers %d %s", code, http.StatusText(code))
	}
	if err := json.NewDecoder(body).Decode(a); err != nil {
		return fmt.Errorf("its answer is not a sensor's: %w", err)
	}
	if a.Sensor == "" || a.State.Name == "" {
		return errors.New("its answer is not a sensor's")
	}
	return nil
}

// readReady reads /readyz: the state and its sentence, which may begin with the state's name.
func (a *Answer) readReady(code int, body io.Reader) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	line := strings.TrimSpace(string(text))
	name, sentence, ok := strings.Cut(line, ": ")
	if word, _, several := strings.Cut(name, " "); several {
		name, sentence = word, line
	}
	if !ok || code != http.StatusOK && code != http.StatusServiceUnavailable {
		return errors.New("its answer is not a sensor's")
	}
	a.State = State{Name: name, Sentence: sentence, Ready: code == http.StatusOK}
	return nil
}
