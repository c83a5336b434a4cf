// SPDX-License-Identifier: Apache-2.0

package config

import "strings"

// option is one key of the configuration: how it is called everywhere, what it means, and where
// its value is.
type option struct {
	key   string // path in the YAML file
	flag  string // empty when it has none
	help  string // what it is, as one or two sentences without a backquote
	value value  // in the Config that the table was made for

	// fallback replaces the default in the manual when that depends on the machine.
	fallback string
}

// options returns the table. Its values point into c.
func options(c *Config) []option {
	capture, deliver, ops := &c.Capture, &c.Deliver, &c.Ops
	all := []option{
		{key: "sensor", flag: "sensor", value: text(&c.Sensor), fallback: "the host's name",
			help: "Name of this sensor, in every record."},

		{key: "capture.interfaces", flag: "interface", value: texts(&capture.Interfaces),
			help: "Interface to capture on. May be given more than once."},
		{key: "capture.read", flag: "read", value: texts(&capture.Read),
			help: "Capture file to read instead of an interface, - for standard input. " +
				"May be given more than once."},
		{key: "capture.ports", flag: "ports", value: ports(&capture.Ports),
			help: "Ports of DNS, UDP and TCP; at most 100 on interfaces."},
		{key: "capture.tunnels", flag: "tunnels", value: commaTexts(&capture.Tunnels),
			fallback: "none on interfaces, all in files",
			help: "Tunnels to look into, such as vxlan,gre or all. On interfaces these pass the " +
				"kernel's filter whatever is in them."},
		{key: "capture.promiscuous", value: yesno(&capture.Promiscuous),
			help: "Take what is addressed to other machines as well, as on a mirror port."},
		{key: "capture.lanes", value: number(&capture.Lanes),
			help: "Lanes that share each interface. 0 is one per core, if memory has room. Of files, as " +
				"many are read side by side, each for itself: what goes on in the next file is not " +
				"put together. 0 reads them with one lane, in their order."},
		{key: "capture.ring_size", value: size(&capture.RingSize),
			help: "Memory that the kernel fills with packets, for each lane."},

		{key: "capture.dnstap", flag: "dnstap", value: texts(&capture.DNSTap.Listen),
			help: "Socket on which name servers report by dnstap: unix:///path, tcp://host:port or " +
				"tls://host:port. May be given more than once."},
		{key: "capture.dnstap_socket_mode", value: text(&capture.DNSTap.SocketMode),
			help: "Who may connect to a unix socket: the mode of its file, in octal."},
		{key: "capture.dnstap_connections", value: number(&capture.DNSTap.Connections),
			help: "Name servers that may be connected at a time, for each socket."},
		{key: "capture.dnstap_tls_cert", value: text(&capture.DNSTap.Cert),
			help: "Certificate of tls sockets, a PEM file. It may be renewed while the sensor runs."},
		{key: "capture.dnstap_tls_key", value: text(&capture.DNSTap.Key),
			help: "Its key, a PEM file."},
		{key: "capture.dnstap_tls_client_ca", value: text(&capture.DNSTap.ClientCA),
			help: "Authorities of which a name server needs a certificate, a PEM file. Without it " +
				"anyone who can reach a tls socket may report."},

		{key: "decode.tcp_memory", value: size(&c.Decode.TCPMemory),
			help: "Memory for TCP connections and what waits in them, for each lane. When it is full " +
				"the oldest is forgotten."},
		{key: "decode.tcp_gap", value: duration(&c.Decode.TCPGap),
			help: "How long segments wait for one before them that is missing."},
		{key: "decode.fragment_memory", value: size(&c.Decode.FragmentMemory),
			help: "Memory for IP fragments whose datagram is not whole, for each lane."},
		{key: "decode.fragment_age", value: duration(&c.Decode.FragmentAge),
			help: "How long fragments wait for the others of their datagram."},

		{key: "match.emit", flag: "emit", value: text(&c.Match.Emit),
			help: "What a record is: messages, each by itself, or transactions, a query with its " +
				"response."},
		{key: "match.timeout", value: duration(&c.Match.Timeout),
			help: "How long a query waits for its response before it counts as unanswered."},
		{key: "match.memory", value: size(&c.Match.Memory),
			help: "Memory for the queries that wait, for each lane. When it is full the oldest " +
				"leaves early."},

		{key: "encode.format", flag: "format", value: text(&c.Encode.Format),
			help: "How a record is written: " + strings.Join(formats, ", ") + "."},

		{key: "deliver.brokers", flag: "brokers", value: commaTexts(&deliver.Brokers),
			help: "Kafka brokers to begin with, each as host:port."},
		{key: "deliver.topic", flag: "topic", value: text(&deliver.Topic),
			help: "Kafka topic of the records."},
		{key: "deliver.key", flag: "key", value: text(&deliver.Key),
			help: "Field that is the Kafka key of a record: " + strings.Join(keys, ", ") + ". Records of " +
				"one key go to one partition, the one that the Java client would choose, in the order " +
				"of their lane, but for those that waited on disk, which come later. Without a key " +
				"they go wherever they get through."},
		{key: "deliver.compression", flag: "compression", value: text(&deliver.Compression),
			help: "How batches are compressed: " + strings.Join(compressions, ", ") + "."},
		{key: "deliver.mode", flag: "delivery", value: text(&deliver.Mode),
			help: "What is promised of a record: at-least-once, sent until it is acknowledged, or " +
				"at-most-once, sent once and never kept on disk."},
		{key: "deliver.acks", value: text(&deliver.Acks),
			help: "Who must have a batch before it counts as delivered: all in-sync replicas, the " +
				"leader, or none; auto is all for at-least-once, which needs it, and leader otherwise."},
		{key: "deliver.spool_after", value: duration(&deliver.SpoolAfter),
			help: "A batch that is not acknowledged after this time is written to the spool."},
		{key: "deliver.durable", value: yesno(&deliver.Durable),
			help: "Write every batch to the spool before it is sent."},
		{key: "deliver.dead_letter", value: text(&deliver.DeadLetter),
			fallback: "dead-letter.jsonl in the spool directory",
			help:     "File for records that no broker takes, or off. They are counted in any case."},
		{key: "deliver.dead_letter_max", value: size(&deliver.DeadLetterMax),
			help: "Size that the dead-letter file may have. What comes later is only counted."},
		{key: "deliver.batch_size", value: size(&deliver.BatchSize),
			help: "A batch is sent when its records have this size, before compression."},
		{key: "deliver.linger", value: duration(&deliver.Linger),
			help: "A batch that is not full is sent when it is this old."},
		{key: "deliver.request_timeout", value: duration(&deliver.RequestTimeout),
			help: "How long a broker may take to answer before it is asked again."},
		{key: "deliver.timestamp_max_age", value: duration(&deliver.TimestampMaxAge),
			help: "A record older than this gets the time of now as its Kafka time stamp, so that " +
				"retention does not delete it at once; a batch that grew older while it waited is moved " +
				"as a whole. The packet's time stays in the record. 0 is never."},
		{key: "deliver.grace", flag: "grace", value: duration(&deliver.Grace),
			help: "How long the end of a run may wait until every record is acknowledged."},
		{key: "deliver.heartbeat", value: duration(&deliver.Heartbeat),
			help: "A record about the sensor itself is sent this often, and at the end, so that a " +
				"consumer can tell a quiet link from a dead sensor. 0 is never. A run over files has " +
				"none unless this is set."},
	}
	all = append(all, spoolOptions(c)...)
	all = append(all, linkOptions(c)...)
	return append(all, []option{
		{key: "ops.memory", flag: "memory", value: size(&ops.Memory),
			help: "Memory for what is captured and not yet acknowledged, and all else."},
		{key: "ops.http", flag: "http", value: text(&ops.HTTP),
			help: "Address of metrics, health and state, or off. Anyone who can reach it may read."},
		{key: "ops.ledger", flag: "ledger", value: text(&ops.Ledger),
			help: "File to write the ledger to, as JSON, at the end of the run. Until then, and after a process " +
				"that was killed, it holds one that is neither complete nor balanced."},
		{key: "ops.log_level", value: text(&ops.LogLevel),
			help: "Least level that is logged: " + strings.Join(logLevels, ", ") + "."},
		{key: "ops.log_format", value: text(&ops.LogFormat),
			help: "How a log line is written, and the ledger at the end: " +
				strings.Join(logFormats, ", ") + "."},
		{key: "ops.pprof", value: yesno(&ops.Pprof),
			help: "Serve Go profiles at /debug/pprof."},
	}...)
}

// Choices returns the words that a flag takes, nil when it is not a choice of a few.
func Choices(flag string) []string {
	return map[string][]string{"compression": compressions, "delivery": modes, "emit": emits,
		"format": formats, "key": keys, "sasl-mechanism": mechanisms, "tunnels": tunnels}[flag]
}

// sections says what each group of keys is about.
var sections = map[string]string{
	"capture": "Stage 1: where packets come from.",
	"decode":  "Stage 2: from packets to messages.",
	"match":   "Stage 3: query meets response.",
	"encode":  "Stage 6: how a record is written.",
	"deliver": "Stage 7: how records get to Kafka.",
	"spool":   "Stage 7: where records wait on disk while they cannot be delivered.",
	"tls":     "Stage 7: how connections to the brokers are encrypted.",
	"sasl":    "Stage 7: who the sensor is to the brokers.",
	"ops":     "What keeps the sensor alive and tells about it.",
}

// split returns the section of a key, empty for none, and its name in there.
func split(key string) (section, name string) {
	if section, name, ok := strings.Cut(key, "."); ok {
		return section, name
	}
	return "", key
}

// envPrefix begins the names of all environment variables.
const envPrefix = "DNSLUICE_"

// env returns the option's environment variable: its key in capitals, with underscores.
func (o option) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(o.key, ".", "_"))
}
