// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The words that are known, each list with its default first or in their natural order.
var (
	emits        = []string{"messages", "transactions"}
	formats      = []string{"json", "protobuf"}
	compressions = []string{"snappy", "zstd", "lz4", "gzip", "none"}
	keys         = []string{"none", "client_ip", "server_ip", "qname", "sensor"}
	modes        = []string{AtLeastOnce, AtMostOnce}
	acks         = []string{"auto", "all", "leader", "none"}
	logLevels    = []string{"debug", "info", "warn", "error"}
	logFormats   = []string{"text", "json"}

	tunnels = []string{"all", "ip", "erspan", "mpls", "pppoe", "gre", "pptp", "erspan1", "erspan2",
		"erspan3", "vxlan", "vxlan-gpe", "geneve", "ipip", "6in4", "4in6", "6in6", "etherip", "gtp",
		"l2tp", "tzsp", "teredo"}
)

// The limits of numbers.
const (
	maxLanes = 256 // PACKET_FANOUT_MAX before Linux 5.10 (net/packet/internal.h)

	minRing = 1 << 20
	maxRing = 1 << 30

	minState = 2 << 20 // the largest messages, and a table of what else there is
	maxState = 1 << 30

	maxConnections = 4096 // of name servers to a socket: 512 MiB of buffers

	minWait  = 10 * time.Millisecond
	minMatch = 1 << 20 // a message of any length, and a few hundred of the usual
	maxMatch = 1 << 30

	minBatch = 600_000 // room for the largest record
	maxBatch = 64 << 20

	maxMemory = 1 << 40 // each batch that it holds is a turn of a loop at the start

	maxInterface = 15  // IFNAMSIZ without its final zero (linux/if.h)
	maxSensor    = 255 // it stands in every record
	maxTopic     = 249 // Kafka's limit, of its file names

	maxLinger  = time.Minute
	minRequest = 100 * time.Millisecond
	maxTime    = 365 * 24 * time.Hour

	minSpoolAfter = 100 * time.Millisecond

	minHeartbeat = 100 * time.Millisecond // each takes a batch for itself
)

// Mistake is one thing that is wrong with a configuration.
type Mistake struct {
	At   string // where it was said: file and line, variable or flag; empty for a default
	Key  string // path in the YAML file; empty when it is about the whole file
	What string // what is wrong and what to do
}

// String returns the mistake as one line.
func (m Mistake) String() string {
	line := "config: "
	for _, part := range []string{m.At, m.Key} {
		if part != "" {
			line += part + ": "
		}
	}
	return line + m.What
}

// Mistakes is the error of a configuration: all that is wrong with it, at once.
type Mistakes []Mistake

// Error returns one line for each mistake.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, mistake := range m {
		lines[i] = mistake.String()
	}
	return strings.Join(lines, "\n")
}

// orNil returns m as an error that is nil when there is no mistake.
func (m Mistakes) orNil() error {
	if len(m) == 0 {
		return nil
	}
	return m
}

func (m *Mistakes) add(key, format string, args ...any) {
	*m = append(*m, Mistake{Key: key, What: fmt.Sprintf(format, args...)})
}

// known adds a mistake when word is none of those given.
func (m *Mistakes) known(key, word string, words []string) {
	if !slices.Contains(words, word) {
		m.add(key, "%q is not known; use %s", word, strings.Join(words, ", "))
	}
}

// within adds a mistake when n is not from lo to hi.
func within[T int | Size | time.Duration](m *Mistakes, key string, n, lo, hi T,
	format func(T) string) {
	if n < lo || n > hi {
		m.add(key, "%s is not from %s to %s", format(n), format(lo), format(hi))
	}
}

// Validate returns nil, or Mistakes with every value that cannot be. What is missing for a run is
// not its matter: see Runnable.
func (c Config) Validate() error {
	var m Mistakes
	c.checkCapture(&m)
	within(&m, "decode.tcp_memory", c.Decode.TCPMemory, minState, maxState, Size.String)
	within(&m, "decode.tcp_gap", c.Decode.TCPGap, minWait, time.Hour, formatDuration)
	within(&m, "decode.fragment_memory", c.Decode.FragmentMemory, minState, maxState, Size.String)
	within(&m, "decode.fragment_age", c.Decode.FragmentAge, minWait, time.Hour, formatDuration)
	m.known("match.emit", c.Match.Emit, emits)
	within(&m, "match.timeout", c.Match.Timeout, minWait, time.Hour, formatDuration)
	within(&m, "match.memory", c.Match.Memory, minMatch, maxMatch, Size.String)
	m.known("encode.format", c.Encode.Format, formats)
	c.checkDeliver(&m)
	c.checkSpool(&m)
	c.checkLink(&m)
	c.checkOps(&m)
	return m.orNil()
}

func (c Config) checkCapture(m *Mistakes) {
	switch s := c.Sensor; {
	case s == "":
		m.add("sensor", "the host has no name; give the sensor one")
	case len(s) > maxSensor || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		m.add("sensor", "%q is not a name of at most %d printable bytes", s, maxSensor)
	}
	seen := map[string]bool{}
	for _, name := range c.Capture.Interfaces {
		switch {
		case strings.Contains(name, ","):
			m.add("capture.interfaces", "%q is not one name; give --interface once for each, or a list in the file", name)
		case name == "" || len(name) > maxInterface || strings.ContainsAny(name, "/ \t\n"):
			m.add("capture.interfaces", "%q is no interface's name; ip link lists them", name)
		case seen[name]:
			m.add("capture.interfaces", "%q is given twice, its packets would be too", name)
		}
		seen[name] = true
	}
	c.checkDNSTap(m)
	stdin := 0
	for _, file := range c.Capture.Read {
		switch file {
		case "":
			m.add("capture.read", "a file has no name; give it one, or - for standard input")
		case "-":
			stdin++
		}
	}
	if stdin > 1 {
		m.add("capture.read", "standard input (-) can be read only once")
	}
	if len(c.Capture.Ports) == 0 {
		m.add("capture.ports", "no port is given; DNS has 53")
	}
	if slices.Contains(c.Capture.Ports, 0) {
		m.add("capture.ports", "0 is not a port from 1 to 65535")
	}
	for _, name := range c.Capture.Tunnels {
		m.known("capture.tunnels", name, tunnels)
	}
	within(m, "capture.lanes", c.Capture.Lanes, 0, maxLanes, strconv.Itoa)
	within(m, "capture.ring_size", c.Capture.RingSize, minRing, maxRing, Size.String)
}

func (c Config) checkDNSTap(m *Mistakes) {
	d := c.Capture.DNSTap
	seen := map[string]bool{}
	for _, listen := range d.Listen {
		scheme, place, _ := strings.Cut(listen, "://")
		switch {
		case scheme == "unix" && strings.HasPrefix(place, "/") && len(place) > 1,
			scheme == "tcp" && isAddress(place):
		case scheme == "tls" && isAddress(place):
			if d.Cert == "" || d.Key == "" {
				m.add("capture.dnstap", "%q needs a certificate and its key; "+
					"give capture.dnstap_tls_cert and capture.dnstap_tls_key", listen)
			}
		default:
			m.add("capture.dnstap",
				"%q is not unix:///path, tcp://host:port or tls://host:port", listen)
		}
		if seen[listen] {
			m.add("capture.dnstap", "%q is given twice, and can be listened on once", listen)
		}
		seen[listen] = true
	}
	if _, err := d.Mode(); err != nil {
		m.add("capture.dnstap_socket_mode", "%q is not a mode such as \"0660\"", d.SocketMode)
	}
	within(m, "capture.dnstap_connections", d.Connections, 1, maxConnections, strconv.Itoa)
}

func (c Config) checkKey(m *Mistakes) {
	if c.Deliver.Key == "registered_domain" {
		m.add("deliver.key", "records have no registered_domain yet; use qname, or another of %s",
			strings.Join(keys, ", "))
		return
	}
	m.known("deliver.key", c.Deliver.Key, keys)
}

func (c Config) checkDeliver(m *Mistakes) {
	d := c.Deliver
	for _, broker := range d.Brokers {
		if !isAddress(broker) || strings.HasPrefix(broker, ":") || strings.HasSuffix(broker, ":0") {
			m.add("deliver.brokers", "%q is not host:port; Kafka's port is mostly 9092", broker)
		}
	}
	legal := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
			strings.ContainsRune("._-", r)
	}
	if t := d.Topic; t == "" || t == "." || t == ".." || len(t) > maxTopic ||
		strings.ContainsFunc(t, func(r rune) bool { return !legal(r) }) {
		m.add("deliver.topic", "%q is no topic's name; use at most %d of a-z A-Z 0-9 . _ -", t,
			maxTopic)
	}
	c.checkKey(m)
	m.known("deliver.compression", d.Compression, compressions)
	c.checkMode(m)
	within(m, "deliver.batch_size", d.BatchSize, minBatch, maxBatch, Size.String)
	within(m, "deliver.linger", d.Linger, 0, maxLinger, formatDuration)
	within(m, "deliver.request_timeout", d.RequestTimeout, minRequest, time.Hour, formatDuration)
	within(m, "deliver.timestamp_max_age", d.TimestampMaxAge, 0, 100*maxTime, formatDuration)
	if d.Heartbeat != 0 {
		within(m, "deliver.heartbeat", d.Heartbeat, minHeartbeat, maxTime, formatDuration)
	}
	within(m, "deliver.grace", d.Grace, 0, maxTime, formatDuration)
}

// checkMode checks what is promised of a record, and what that takes.
func (c Config) checkMode(m *Mistakes) {
	d := c.Deliver
	m.known("deliver.mode", d.Mode, modes)
	m.known("deliver.acks", d.Acks, acks)
	if d.Mode == AtLeastOnce && (d.Acks == "leader" || d.Acks == "none") {
		m.add("deliver.acks", "%s loses what %s promises; use all, or deliver.mode %s", d.Acks,
			AtLeastOnce, AtMostOnce)
	}
	if d.Mode == AtMostOnce && d.Durable {
		m.add("deliver.durable", "%s keeps nothing on disk; use deliver.mode %s", AtMostOnce, AtLeastOnce)
	}
	if d.Durable && d.Mode != AtMostOnce && c.Spool.Dir == "" {
		m.add("deliver.durable", "there is no spool to write to; name its directory (--spool-dir)")
	}
	within(m, "deliver.spool_after", d.SpoolAfter, minSpoolAfter, time.Hour, formatDuration)
	if strings.ContainsRune(d.DeadLetter, 0) {
		m.add("deliver.dead_letter", "%q is no path", d.DeadLetter)
	}
	if d.DeadLetterMax < 0 {
		m.add("deliver.dead_letter_max", "%s is below 0", d.DeadLetterMax)
	}
}

func (c Config) checkOps(m *Mistakes) {
	o := c.Ops
	if o.Memory > maxMemory { // what is too little depends on lanes and more; a run says it
		m.add("ops.memory", "%s is more than a sensor can use; use %s or less", o.Memory, Size(maxMemory))
	}
	if o.HTTP != Off && !isAddress(o.HTTP) {
		m.add("ops.http", "%q is not host:port; use 127.0.0.1:9953, or off", o.HTTP)
	}
	m.known("ops.log_level", o.LogLevel, logLevels)
	m.known("ops.log_format", o.LogFormat, logFormats)
}

// isAddress tells whether s is host:port with a port as a number. The host may be empty, and
// must not hold what belongs to a URL.
func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, "/@, \t\n") {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// Runnable returns nil when the configuration is all that a run needs, or Mistakes with what is
// missing.
func (c Config) Runnable() error {
	var m Mistakes
	live := len(c.Capture.Interfaces) + len(c.Capture.DNSTap.Listen)
	switch {
	case live == 0 && len(c.Capture.Read) == 0:
		m.add("capture.interfaces", "nothing to capture; give an interface (--interface eth0), "+
			"a file (--read dns.pcap) or a socket (--dnstap unix:///run/dnsluice.sock)")
	case live > 0 && len(c.Capture.Read) > 0:
		m.add("capture.read", "files end, interfaces and sockets do not; "+
			"give the ones or the others (--interface and --dnstap, or --read)")
	}
	if len(c.Deliver.Brokers) == 0 {
		m.add("deliver.brokers", "nowhere to deliver to; give a broker (--brokers host:9092)")
	}
	c.linkable(&m)
	return m.orNil()
}

// mistakes returns what err says, which is Mistakes or one error of another kind.
func mistakes(err error) Mistakes {
	var m Mistakes
	switch {
	case err == nil:
		return nil
	case errors.As(err, &m):
		return m
	}
	return Mistakes{{What: err.Error()}}
}
