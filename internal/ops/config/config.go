// SPDX-License-Identifier: Apache-2.0

// Package config is the whole configuration of a sensor: one struct, filled from its defaults, a
// YAML file, the environment and flags, each over the one before. One table (options.go) drives
// all four, the printed configuration and the manual's page.
//
// It knows words, numbers and their limits, not what a stage does with them: cmd hands each
// stage its own part.
package config

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"time"
)

// Off is the value of Ops.HTTP that means no HTTP server.
const Off = "off"

// What deliver.mode can be.
const (
	AtLeastOnce = "at-least-once"
	AtMostOnce  = "at-most-once"
)

// Config is what a user can say. Its zero value is not valid; begin with Default.
type Config struct {
	Sensor  string // name of this sensor, in every record
	Capture Capture
	Decode  Decode
	Match   Match
	Encode  Encode
	Deliver Deliver
	TLS     TLS
	SASL    SASL
	Spool   Spool
	Ops     Ops
}

// Capture is stage 1: where packets come from.
type Capture struct {
	Interfaces  []string // to sniff on; or else Read
	DNSTap      DNSTap
	Read        []string // capture files; - is standard input
	Ports       []uint16 // of DNS, UDP and TCP
	Tunnels     []string // to look into, by name
	Promiscuous bool
	Lanes       int  // for each interface, or over files; 0 is one per core, or one over files
	RingSize    Size // of each lane
}

// DNSTap is a part of stage 1: name servers that report their own messages.
type DNSTap struct {
	Listen      []string // unix:///path, tcp://host:port or tls://host:port
	SocketMode  string   // of unix sockets, octal
	Connections int      // at most, for each socket
	Cert, Key   string   // PEM files for tls
	ClientCA    string   // PEM file; empty lets every client in
}

// Mode returns SocketMode as a number. What is no mode gives ErrMode.
func (d DNSTap) Mode() (fs.FileMode, error) {
	n, err := strconv.ParseUint(d.SocketMode, 8, 32)
	if err != nil || n > uint64(fs.ModePerm) {
		return 0, ErrMode
	}
	return fs.FileMode(n), nil
}

// ErrMode is returned by DNSTap.Mode for what is no mode of a file.
var ErrMode = errors.New("config: not a mode: want three octal digits such as 0660")

// Decode is stage 2: the bounds of what is remembered between packets.
type Decode struct {
	TCPMemory      Size // of each lane, for segments and connections
	TCPGap         time.Duration
	FragmentMemory Size // of each lane
	FragmentAge    time.Duration
}

// Match is stage 3: whether and how query and response become one record.
type Match struct {
	Emit    string // messages or transactions
	Timeout time.Duration
	Memory  Size // of each lane
}

// Transactions tells whether there is anything to match.
func (m Match) Transactions() bool { return m.Emit == "transactions" }

// Encode is stage 6: how a record is written.
type Encode struct {
	Format string
}

// Deliver is stage 7: how records get to Kafka.
type Deliver struct {
	Brokers         []string // host:port
	Topic           string
	Key             string // of a record: none, or the field that is it
	Compression     string // snappy, zstd, lz4, gzip or none
	Mode            string // AtLeastOnce or AtMostOnce
	Acks            string // auto, all, leader or none
	SpoolAfter      time.Duration
	Durable         bool
	DeadLetter      string // a file, off, or empty: in the spool directory
	DeadLetterMax   Size
	BatchSize       Size // of the records of a batch, before compression
	Linger          time.Duration
	RequestTimeout  time.Duration
	TimestampMaxAge time.Duration // 0 leaves all time stamps as they are
	Grace           time.Duration // for the drain at the end
	Heartbeat       time.Duration // from one heartbeat record to the next; 0 is none
}

// Ops is what keeps the whole alive and tells about it.
type Ops struct {
	Memory    Size
	HTTP      string // host:port, or Off
	Ledger    string // file; empty is none
	LogLevel  string // debug, info, warn or error
	LogFormat string // text or json
	Pprof     bool
}

// Default returns the configuration of a user who has said nothing. The sensor has the name of
// this host, or none when the host has none, which Validate finds.
func Default() Config {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return Config{
		Sensor: host,
		Capture: Capture{
			Ports:       []uint16{53}, // RFC 1035, section 4.2
			Promiscuous: true,
			RingSize:    8 << 20,
			DNSTap:      DNSTap{SocketMode: "0660", Connections: 64},
		},
		Decode: Decode{TCPMemory: 4 << 20, TCPGap: 2 * time.Second,
			FragmentMemory: 2 << 20, FragmentAge: 30 * time.Second},
		Match:  Match{Emit: "messages", Timeout: 5 * time.Second, Memory: 4 << 20},
		Encode: Encode{Format: "json"},
		Deliver: Deliver{
			Topic:           "dns",
			Key:             keys[0],
			Compression:     "snappy",
			Mode:            AtLeastOnce,
			Acks:            "auto",
			SpoolAfter:      2 * time.Second,
			DeadLetterMax:   64 << 20,
			BatchSize:       900_000, // a broker takes 1048588 bytes (message.max.bytes)
			Linger:          100 * time.Millisecond,
			RequestTimeout:  10 * time.Second,
			TimestampMaxAge: 24 * time.Hour,
			Grace:           10 * time.Second,
			Heartbeat:       10 * time.Second,
		},
		TLS:   TLS{MinVersion: "1.2"},
		SASL:  SASL{Mechanism: NoMechanism},
		Spool: defaultSpool(),
		Ops: Ops{
			Memory:    96 << 20,
			HTTP:      "127.0.0.1:9953",
			LogLevel:  "info",
			LogFormat: "text",
		},
	}
}
