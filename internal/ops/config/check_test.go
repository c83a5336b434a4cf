// SPDX-License-Identifier: Apache-2.0

package config

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/ops/logging"
)

func TestTheDefaultIsValid(t *testing.T) {
	c := Default()
	c.Sensor = "ns1" // a build machine may have no name
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateFindsEachBadValue(t *testing.T) {
	long := strings.Repeat("x", 256)
	tests := []struct {
		name  string
		spoil func(*Config)
		want  string
	}{
		{"a host without a name", func(c *Config) { c.Sensor = "" },
			"sensor: the host has no name; give the sensor one"},
		{"a sensor with a line end", func(c *Config) { c.Sensor = "a\nb" },
			`sensor: "a\nb" is not a name of at most 255 printable bytes`},
		{"a sensor that is no UTF-8", func(c *Config) { c.Sensor = "\xff" },
			`sensor: "\xff" is not a name of at most 255 printable bytes`},
		{"a sensor with a name too long", func(c *Config) { c.Sensor = long },
			`sensor: "` + long + `" is not a name of at most 255 printable bytes`},
		{"an interface without a name", func(c *Config) { c.Capture.Interfaces = []string{""} },
			`capture.interfaces: "" is no interface's name; ip link lists them`},
		{"an interface of 16 bytes",
			func(c *Config) { c.Capture.Interfaces = []string{"0123456789abcdef"} },
			`capture.interfaces: "0123456789abcdef" is no interface's name; ip link lists them`},
		{"two interfaces in one word", func(c *Config) { c.Capture.Interfaces = []string{"a,b"} },
			`capture.interfaces: "a,b" is not one name; give --interface once for each, or a list in the file`},
		{"an interface twice", func(c *Config) { c.Capture.Interfaces = []string{"a", "b", "a"} },
			`capture.interfaces: "a" is given twice, its packets would be too`},
		{"a file without a name", func(c *Config) { c.Capture.Read = []string{""} },
			"capture.read: a file has no name; give it one, or - for standard input"},
		{"standard input twice", func(c *Config) { c.Capture.Read = []string{"-", "a", "-"} },
			"capture.read: standard input (-) can be read only once"},
		{"no ports", func(c *Config) { c.Capture.Ports = nil },
			"capture.ports: no port is given; DNS has 53"},
		{"port 0", func(c *Config) { c.Capture.Ports = []uint16{53, 0} },
			"capture.ports: 0 is not a port from 1 to 65535"},
		{"fewer lanes than none", func(c *Config) { c.Capture.Lanes = -1 },
			"capture.lanes: -1 is not from 0 to 256"},
		{"more lanes than a kernel takes", func(c *Config) { c.Capture.Lanes = 257 },
			"capture.lanes: 257 is not from 0 to 256"},
		{"a ring too small", func(c *Config) { c.Capture.RingSize = 1000 },
			"capture.ring_size: 1kB is not from 1MiB to 1GiB"},
		{"a socket that is a path",
			func(c *Config) { c.Capture.DNSTap.Listen = []string{"/run/d.sock"} },
			`capture.dnstap: "/run/d.sock" is not unix:///path, tcp://host:port or tls://host:port`},
		{"a socket of UDP",
			func(c *Config) { c.Capture.DNSTap.Listen = []string{"udp://127.0.0.1:6000"} },
			`capture.dnstap: "udp://127.0.0.1:6000" is not unix:///path, tcp://host:port or ` +
				`tls://host:port`},
		{"a socket without a port",
			func(c *Config) { c.Capture.DNSTap.Listen = []string{"tcp://127.0.0.1"} },
			`capture.dnstap: "tcp://127.0.0.1" is not unix:///path, tcp://host:port or tls://host:port`},
		{"a socket twice",
			func(c *Config) { c.Capture.DNSTap.Listen = []string{"tcp://:6000", "tcp://:6000"} },
			`capture.dnstap: "tcp://:6000" is given twice, and can be listened on once`},
		{"TLS without a key", func(c *Config) {
			c.Capture.DNSTap = DNSTap{Listen: []string{"tls://:6000"}, Cert: "c.pem",
				SocketMode: "0660", Connections: 1}
		}, `capture.dnstap: "tls://:6000" needs a certificate and its key; ` +
			"give capture.dnstap_tls_cert and capture.dnstap_tls_key"},
		{"a mode in letters", func(c *Config) { c.Capture.DNSTap.SocketMode = "rw-rw----" },
			`capture.dnstap_socket_mode: "rw-rw----" is not a mode such as "0660"`},
		{"a mode of more than permissions", func(c *Config) { c.Capture.DNSTap.SocketMode = "4660" },
			`capture.dnstap_socket_mode: "4660" is not a mode such as "0660"`},
		{"no connections", func(c *Config) { c.Capture.DNSTap.Connections = 0 },
			"capture.dnstap_connections: 0 is not from 1 to 4096"},
		{"an unknown thing to emit", func(c *Config) { c.Match.Emit = "pairs" },
			`match.emit: "pairs" is not known; use messages, transactions`},
		{"no time for a response", func(c *Config) { c.Match.Timeout = 0 },
			"match.timeout: 0s is not from 10ms to 1h"},
		{"no memory for queries", func(c *Config) { c.Match.Memory = 1000 },
			"match.memory: 1kB is not from 1MiB to 1GiB"},
		{"a format of a later version", func(c *Config) { c.Encode.Format = "avro" },
			`encode.format: "avro" is not known; use json, protobuf`},
		{"a broker without a port", func(c *Config) { c.Deliver.Brokers = []string{"k1"} },
			`deliver.brokers: "k1" is not host:port; Kafka's port is mostly 9092`},
		{"a broker without a host", func(c *Config) { c.Deliver.Brokers = []string{":9092"} },
			`deliver.brokers: ":9092" is not host:port; Kafka's port is mostly 9092`},
		{"a broker with port 0", func(c *Config) { c.Deliver.Brokers = []string{"k1:0"} },
			`deliver.brokers: "k1:0" is not host:port; Kafka's port is mostly 9092`},
		{"a broker that is a URL",
			func(c *Config) { c.Deliver.Brokers = []string{"ok:9092", "kafka://k1:9092"} },
			`deliver.brokers: "kafka://k1:9092" is not host:port; Kafka's port is mostly 9092`},
		{"a topic with a slash", func(c *Config) { c.Deliver.Topic = "dns/raw" },
			`deliver.topic: "dns/raw" is no topic's name; use at most 249 of a-z A-Z 0-9 . _ -`},
		{"a topic of one dot", func(c *Config) { c.Deliver.Topic = "." },
			`deliver.topic: "." is no topic's name; use at most 249 of a-z A-Z 0-9 . _ -`},
		{"no topic", func(c *Config) { c.Deliver.Topic = "" },
			`deliver.topic: "" is no topic's name; use at most 249 of a-z A-Z 0-9 . _ -`},
		{"a key that no record has", func(c *Config) { c.Deliver.Key = "id" },
			`deliver.key: "id" is not known; use none, client_ip, server_ip, qname, sensor`},
		{"a key that records do not have yet", func(c *Config) { c.Deliver.Key = "registered_domain" },
			"deliver.key: records have no registered_domain yet; use qname, or another of " +
				"none, client_ip, server_ip, qname, sensor"},
		{"an unknown compression", func(c *Config) { c.Deliver.Compression = "lzo" },
			`deliver.compression: "lzo" is not known; use snappy, zstd, lz4, gzip, none`},
		{"an unknown mode", func(c *Config) { c.Deliver.Mode = "exactly-once" },
			`deliver.mode: "exactly-once" is not known; use at-least-once, at-most-once`},
		{"unknown acks", func(c *Config) { c.Deliver.Acks = "1" },
			`deliver.acks: "1" is not known; use auto, all, leader, none`},
		{"acks that break the promise", func(c *Config) { c.Deliver.Acks = "leader" },
			"deliver.acks: leader loses what at-least-once promises; use all, or deliver.mode at-most-once"},
		{"durable without a spool", func(c *Config) { c.Deliver.Durable = true },
			"deliver.durable: there is no spool to write to; name its directory (--spool-dir)"},
		{"durable and at most once", func(c *Config) { c.Deliver.Mode, c.Deliver.Durable = "at-most-once", true },
			"deliver.durable: at-most-once keeps nothing on disk; use deliver.mode at-least-once"},
		{"a spool that never waits", func(c *Config) { c.Deliver.SpoolAfter = 0 },
			"deliver.spool_after: 0s is not from 100ms to 1h"},
		{"a dead-letter file that is no path", func(c *Config) { c.Deliver.DeadLetter = "a\x00b" },
			`deliver.dead_letter: "a\x00b" is no path`},
		{"a dead-letter file of no size", func(c *Config) { c.Deliver.DeadLetterMax = -1 },
			"deliver.dead_letter_max: -1B is below 0"},
		{"batches too small", func(c *Config) { c.Deliver.BatchSize = 1 },
			"deliver.batch_size: 1B is not from 600kB to 64MiB"},
		{"batches too large, which is not memory's fault",
			func(c *Config) { c.Deliver.BatchSize = 1 << 62 },
			"deliver.batch_size: 4294967296GiB is not from 600kB to 64MiB"},
		{"linger below nothing", func(c *Config) { c.Deliver.Linger = -1 },
			"deliver.linger: -1ns is not from 0s to 1m"},
		{"no time for a request", func(c *Config) { c.Deliver.RequestTimeout = 0 },
			"deliver.request_timeout: 0s is not from 100ms to 1h"},
		{"an age below nothing", func(c *Config) { c.Deliver.TimestampMaxAge = -time.Hour },
			"deliver.timestamp_max_age: -1h is not from 0s to 876000h"},
		{"grace below nothing", func(c *Config) { c.Deliver.Grace = -time.Second },
			"deliver.grace: -1s is not from 0s to 8760h"},
		{"heartbeats all the time", func(c *Config) { c.Deliver.Heartbeat = time.Millisecond },
			"deliver.heartbeat: 1ms is not from 100ms to 8760h"},
		{"a spool with no room", func(c *Config) { c.Spool.Max = 1 },
			"spool.max: 1B has no room for a few batches of 900kB; use 4MiB or more"},
		{"a spool that is no path", func(c *Config) { c.Spool.Dir = "a\x00b" },
			`spool.dir: "a\x00b" is no path`},
		{"free space below nothing", func(c *Config) { c.Spool.MinFree = -1 },
			"spool.min_free: -1B is below 0"},
		{"an age of the spool below nothing", func(c *Config) { c.Spool.MaxAge = -1 },
			"spool.max_age: -1ns is not from 0s to 876000h"},
		{"an unknown fsync", func(c *Config) { c.Spool.Fsync = "often" },
			`spool.fsync: "often" is not known; use interval, always, never`},
		{"segments too small", func(c *Config) { c.Spool.Segment = 0 },
			"spool.segment: 0 is not from 64KiB to 4GiB"},
		{"memory that no machine has", func(c *Config) { c.Ops.Memory = 1<<40 + 1 },
			"ops.memory: 1099511627777B is more than a sensor can use; use 1024GiB or less"},
		{"an address without a port", func(c *Config) { c.Ops.HTTP = "localhost" },
			`ops.http: "localhost" is not host:port; use 127.0.0.1:9953, or off`},
		{"an address with a port too large", func(c *Config) { c.Ops.HTTP = ":65536" },
			`ops.http: ":65536" is not host:port; use 127.0.0.1:9953, or off`},
		{"no address", func(c *Config) { c.Ops.HTTP = "" },
			`ops.http: "" is not host:port; use 127.0.0.1:9953, or off`},
		{"an unknown level", func(c *Config) { c.Ops.LogLevel = "trace" },
			`ops.log_level: "trace" is not known; use debug, info, warn, error`},
		{"an unknown log format", func(c *Config) { c.Ops.LogFormat = "xml" },
			`ops.log_format: "xml" is not known; use text, json`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := Default()
			c.Sensor = "ns1"
			test.spoil(&c)
			if diff := cmp.Diff("config: "+test.want, lines(t, c.Validate())); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidateTakesWhatIsUnusualButRight(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"HTTP off":             func(c *Config) { c.Ops.HTTP = Off },
		"HTTP everywhere":      func(c *Config) { c.Ops.HTTP = ":9953" },
		"HTTP on a free port":  func(c *Config) { c.Ops.HTTP = "[::1]:0" },
		"a broker of IPv6":     func(c *Config) { c.Deliver.Brokers = []string{"[::1]:9092"} },
		"no linger and grace":  func(c *Config) { c.Deliver.Linger, c.Deliver.Grace = 0, 0 },
		"an interface's alias": func(c *Config) { c.Capture.Interfaces = []string{"eth0.100:1"} },
		"a unix socket":        func(c *Config) { c.Capture.DNSTap.Listen = []string{"unix:///run/d.sock"} },
		"a socket with TLS": func(c *Config) {
			c.Capture.DNSTap.Listen = []string{"tls://[::]:6000"}
			c.Capture.DNSTap.Cert, c.Capture.DNSTap.Key = "c.pem", "k.pem"
		},
		"no heartbeats":         func(c *Config) { c.Deliver.Heartbeat = 0 },
		"a sensor of any words": func(c *Config) { c.Sensor = "Zürich, rack 3" },
	} {
		c := Default()
		c.Sensor = "ns1"
		change(&c)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRunnableSaysWhatIsMissing(t *testing.T) {
	const (
		nothing = "config: capture.interfaces: nothing to capture; give an interface " +
			"(--interface eth0), a file (--read dns.pcap) or a socket " +
			"(--dnstap unix:///run/dnsluice.sock)"
		nowhere = "config: deliver.brokers: nowhere to deliver to; " +
			"give a broker (--brokers host:9092)"
		both = "config: capture.read: files end, interfaces and sockets do not; " +
			"give the ones or the others (--interface and --dnstap, or --read)"
	)
	tests := []struct {
		name                          string
		interfaces, read, dnstap, brk []string
		want                          string
	}{
		{"an interface and a broker", []string{"e"}, nil, nil, []string{"k:1"}, ""},
		{"a file and a broker", nil, []string{"f"}, nil, []string{"k:1"}, ""},
		{"a socket and a broker", nil, nil, []string{"s"}, []string{"k:1"}, ""},
		{"an interface and a socket", []string{"e"}, nil, []string{"s"}, []string{"k:1"}, ""},
		{"nothing at all", nil, nil, nil, nil, nothing + "\n" + nowhere},
		{"an interface and a file", []string{"e"}, []string{"f"}, nil, []string{"k:1"}, both},
		{"a socket and a file", nil, []string{"f"}, []string{"s"}, []string{"k:1"}, both},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := Default()
			c.Capture.Interfaces, c.Capture.Read = test.interfaces, test.read
			c.Capture.DNSTap.Listen, c.Deliver.Brokers = test.dnstap, test.brk
			if diff := cmp.Diff(test.want, lines(t, c.Runnable())); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsKnownOfLoggingIsWhatLoggingKnows(t *testing.T) {
	for _, level := range logLevels {
		for _, format := range logFormats {
			if _, err := logging.New(io.Discard, level, format); err != nil {
				t.Error(err)
			}
		}
	}
}
