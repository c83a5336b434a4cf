// SPDX-License-Identifier: Apache-2.0

// Package schema is the one definition of the record, version 1. Everything that names a field
// is generated from the tables here or tested against them: the keys of the JSON encoder and the
// tags of the Protobuf encoder, the two schemas and the page of the manual (go generate ./schema).
package schema

import _ "embed" // for JSON

//go:generate go run ./generate

// Version is the value of the field v.
const Version = 1

// Type is the type of a field, in JSON unless another is named.
type Type string

// The types of fields. Integers are never negative.
const (
	Integer Type = "integer" // below 1<<31, so that it fits an int in any language
	Long    Type = "long"    // an integer that may be larger; it fits 64 bits
	String  Type = "string"
	Boolean Type = "boolean"
	Time    Type = "time"    // a string: RFC 3339, nanoseconds, UTC; a number in Protobuf
	Address Type = "address" // a string: IPv4, or IPv6 as in RFC 5952
	Object  Type = "object"  // Fields of Of
	Array   Type = "array"   // of objects with the fields of Of
	Strings Type = "strings" // an array of strings
)

// Presence says when a field is there.
type Presence string

// The presences. A field that is absent was not known, or has nothing to say.
const (
	Always   Presence = "always"
	Known    Presence = "when known"
	Uncut    Presence = "unless cut" // always, but in malformed records that end before it
	Reserved Presence = "reserved"   // named by version 1, written by no sensor of this version yet
)

// Field is one field of the record or of an object in it, in the order of the JSON text.
type Field struct {
	Name     string // the key
	Number   int    // of the field in Protobuf, which testdata/numbers.txt keeps for good
	Type     Type
	Presence Presence
	Of       []Field // the fields of an Object, or of each object of an Array
	Doc      string  // one line, without a full stop
}

// Group is a run of fields that belong together.
type Group struct {
	Name   string // the heading in the manual
	Of     Scope
	Fields []Field
}

// Scope says which records the fields of a group can be in. Field.Presence is about those.
type Scope string

// The scopes.
const (
	OfMessages   Scope = ""           // all records but heartbeats
	OfAll        Scope = "all"        // all records
	OfHeartbeats Scope = "heartbeats" // those of kind heartbeat
)

var rr = []Field{
	{Name: "name", Number: 1, Type: String, Presence: Always, Doc: "owner, written as qname"},
	{Name: "type", Number: 2, Type: String, Presence: Always, Doc: "mnemonic of the IANA registry, or TYPE123 (RFC 3597)"},
	{Name: "class", Number: 3, Type: String, Presence: Always, Doc: "IN, CH, HS, NONE, ANY, or CLASS123 (RFC 3597)"},
	{Name: "ttl", Number: 4, Type: Long, Presence: Always, Doc: "seconds"},
	{Name: "data", Number: 5, Type: String, Presence: Always, Doc: "the data in zone-file presentation format; names in it keep their case and end in a dot; unknown types and data that does not fit its type as \\# (RFC 3597)"},
}

var question = []Field{
	{Name: "name", Number: 1, Type: String, Presence: Always, Doc: "written as qname"},
	{Name: "type", Number: 2, Type: String, Presence: Always, Doc: "written as qtype"},
	{Name: "class", Number: 3, Type: String, Presence: Always, Doc: "written as qclass"},
}

var edns = []Field{
	{Name: "version", Number: 1, Type: Integer, Presence: Always, Doc: "EDNS version"},
	{Name: "udp_size", Number: 2, Type: Integer, Presence: Always, Doc: "largest UDP message that the sender takes"},
	{Name: "do", Number: 3, Type: Boolean, Presence: Always, Doc: "DNSSEC OK (RFC 3225)"},
	{Name: "z", Number: 12, Type: Integer, Presence: Known, Doc: "the 15 flags behind DO as one number, when any is set: 16384 is CO, compact answers OK (RFC 9824)"},
	{Name: "ecs", Number: 4, Type: String, Presence: Known, Doc: "client subnet as prefix (RFC 7871)"},
	{Name: "ecs_scope", Number: 5, Type: Integer, Presence: Known, Doc: "scope prefix length of that, when it is not 0"},
	{Name: "cookie", Number: 6, Type: String, Presence: Known, Doc: "client and server cookie in hex, 8 or 16 to 40 bytes (RFC 7873)"},
	{Name: "nsid", Number: 7, Type: String, Presence: Known, Doc: "name server identifier: text when it is printable ASCII, else 0x and hex (RFC 5001)"},
	{Name: "ede", Number: 8, Type: Array, Presence: Known, Doc: "extended errors (RFC 8914)", Of: []Field{
		{Name: "code", Number: 1, Type: Integer, Presence: Always, Doc: "info code"},
		{Name: "name", Number: 2, Type: String, Presence: Known, Doc: "of the code in the IANA registry"},
		{Name: "text", Number: 3, Type: String, Presence: Known, Doc: "extra text: printable UTF-8 as it is, but a backslash before a backslash; any other byte as a backslash and three decimal digits"},
	}},
	{Name: "padding", Number: 9, Type: Integer, Presence: Known, Doc: "bytes of padding (RFC 7830)"},
	{Name: "options", Number: 10, Type: Array, Presence: Known, Doc: "all other options, and those above that do not fit their format or come again; of the first 64 options", Of: []Field{
		{Name: "code", Number: 1, Type: Integer, Presence: Always, Doc: "option code"},
		{Name: "name", Number: 2, Type: String, Presence: Always, Doc: "of the code in the IANA registry, or OPT123"},
		{Name: "data", Number: 3, Type: String, Presence: Always, Doc: "numbers and names as text where the option has such, else hex"},
	}},
	{Name: "rest", Number: 11, Type: String, Presence: Known, Doc: "bytes after the last whole option, or the 64th, in hex"},
}

var policy = []Field{
	{Name: "type", Number: 1, Type: String, Presence: Always, Doc: "kind of policy, such as RPZ; empty when it was not told"},
	{Name: "rule", Number: 2, Type: String, Presence: Known, Doc: "the rule that matched: in a response policy zone its name, written as qname"},
	{Name: "action", Number: 3, Type: String, Presence: Known, Doc: "NXDOMAIN, NODATA, PASS, DROP, TRUNCATE, LOCAL_DATA, or ACTION7"},
	{Name: "match", Number: 4, Type: String, Presence: Known, Doc: "what matched: QNAME, CLIENT_IP, RESPONSE_IP, NS_NAME, NS_IP, or MATCH6"},
	{Name: "value", Number: 5, Type: String, Presence: Known, Doc: "its value: a name written as qname, or an address"},
}

var malformed = []Field{
	{Name: "reason", Number: 1, Type: String, Presence: Always, Doc: "why the message could not be read to its end"},
	{Name: "offset", Number: 2, Type: Integer, Presence: Always, Doc: "of the first byte that makes no sense"},
	{Name: "bytes", Number: 3, Type: String, Presence: Always, Doc: "the first 128 bytes of the message in hex"},
}

var heartbeat = []Field{
	{Name: "last", Number: 1, Type: Boolean, Presence: Always, Doc: "true in the last one of a run, after which the sensor ends"},
	{Name: "interval_ms", Number: 2, Type: Long, Presence: Always, Doc: "until the next one, unless this is the last; a sensor that is silent for several is dead or cut off"},
	{Name: "state", Number: 3, Type: String, Presence: Always, Doc: "how the sensor is: flowing, idle, spooling, unreachable and so on"},
	{Name: "since", Number: 4, Type: Time, Presence: Always, Doc: "when it became so"},
	{Name: "packets", Number: 5, Type: Long, Presence: Always, Doc: "that capture was given; this and the next six are the totals of the ledger, since the start of the run"},
	{Name: "messages", Number: 6, Type: Long, Presence: Always, Doc: "DNS messages found in them"},
	{Name: "records", Number: 7, Type: Long, Presence: Always, Doc: "made of the messages, and earlier heartbeats"},
	{Name: "acknowledged", Number: 8, Type: Long, Presence: Always, Doc: "records that a broker has"},
	{Name: "spooled", Number: 9, Type: Long, Presence: Always, Doc: "records of this run that wait on disk alone"},
	{Name: "dropped", Number: 10, Type: Long, Presence: Always, Doc: "records that are lost"},
	{Name: "held", Number: 11, Type: Long, Presence: Always, Doc: "records in memory"},
	{Name: "drops", Number: 12, Type: Array, Presence: Known, Doc: "what every stage has dropped, in its own unit; absent when nothing was", Of: []Field{
		{Name: "stage", Number: 1, Type: String, Presence: Always, Doc: "of the path: capture, decode, deliver and so on"},
		{Name: "reason", Number: 2, Type: String, Presence: Always, Doc: "as in the ledger and the metrics"},
		{Name: "count", Number: 3, Type: Long, Presence: Always, Doc: "packets, messages or records"},
	}},
	{Name: "lanes", Number: 13, Type: Array, Presence: Always, Doc: "all lanes of the run, that of the heartbeats the last", Of: []Field{
		{Name: "lane", Number: 1, Type: Integer, Presence: Always, Doc: "its number"},
		{Name: "seq", Number: 2, Type: Long, Presence: Always, Doc: "the highest number given to a record; of the lane of the heartbeats, this one's"},
		{Name: "dropped", Number: 3, Type: Long, Presence: Always, Doc: "how many of the numbers up to that were dropped for lack of memory, or as too large: they are exactly the gaps so far that are not held, spooled or dropped later on (dropped, above, has all)"},
	}},
	{Name: "spool", Number: 14, Type: Object, Presence: Known, Doc: "the spool, when there is one", Of: []Field{
		{Name: "records", Number: 1, Type: Long, Presence: Always, Doc: "on disk, those of earlier runs too"},
		{Name: "dropped", Number: 2, Type: Long, Presence: Always, Doc: "records of earlier runs that were lost since the start of this one"},
	}},
	{Name: "topic_id", Number: 15, Type: String, Presence: Known, Doc: "id of the topic, as Kafka's tools write it; there when it is known what partitions have reached: not without idempotence, nor with brokers before 2.8"},
	{Name: "reached", Number: 16, Type: Array, Presence: Known, Doc: "how far each partition has come that has acknowledged anything to this run, at the moment of the numbers above: no record that is numbered later is before it, and none that was acknowledged is behind it", Of: []Field{
		{Name: "partition", Number: 1, Type: Integer, Presence: Always, Doc: "its number"},
		{Name: "end", Number: 2, Type: Long, Presence: Always, Doc: "offset behind the newest acknowledged record"},
	}},
	{Name: "settled", Number: 17, Type: Long, Presence: Known, Doc: "seq of the newest heartbeat of this run of which nothing waits any more: all that was numbered when it was made is acknowledged or dropped; absent while something of the run is on disk alone"},
}

// Groups are the fields of a record, in the order of the JSON text.
var Groups = []Group{
	{Name: "identity", Of: OfAll, Fields: []Field{
		{Name: "v", Number: 16, Type: Integer, Presence: Always, Doc: "version of this schema"},
		{Name: "sensor", Number: 17, Type: String, Presence: Always, Doc: "name of the sensor"},
		{Name: "run", Number: 18, Type: String, Presence: Always, Doc: "start of the process, sortable"},
		{Name: "lane", Number: 19, Type: Integer, Presence: Always, Doc: "lane of the sensor that took the message; heartbeats have a lane of their own, behind the others"},
		{Name: "seq", Number: 1, Type: Long, Presence: Always, Doc: "number of the record: gapless from 1 per sensor, run and lane; a record that was dropped leaves its gap"},
	}},
	{Name: "time", Of: OfAll, Fields: []Field{
		{Name: "ts", Number: 2, Type: Time, Presence: Always, Doc: "when the (last) packet was captured, or with dnstap when the server sent or got the message; of a heartbeat when it was made: RFC 3339, nanoseconds, UTC"},
		{Name: "latency_us", Number: 20, Type: Long, Presence: Known, Doc: "from the (first) query to its response, microseconds; in records with both, and where the server that reports a response told when the query came"},
		{Name: "reversed", Number: 21, Type: Boolean, Presence: Known, Doc: "true when the response has the earlier time, as packets out of order and clocks that are set have it; latency_us is 0 then"},
	}},
	{Name: "kind", Of: OfAll, Fields: []Field{
		{Name: "kind", Number: 3, Type: String, Presence: Always, Doc: "query, response or malformed; with emit: transactions also transaction (a query and its response) and unanswered (a query whose timeout has passed), and query is one that was not waited for; or heartbeat"},
		{Name: "unpaired", Number: 22, Type: String, Presence: Known, Doc: "with emit: transactions, why a message stands alone although no timeout has passed: multicast, full (of memory), crowded (too many queries of one port and id), end (of the run)"},
	}},
	{Name: "path", Fields: []Field{
		{Name: "client_ip", Number: 4, Type: Address, Presence: Known, Doc: "the side that asks: source of a query, destination of a response; of a message that ends before its flags, the side whose port is not one of DNS, or the source; this and the next four are absent only with dnstap, where the server did not tell"},
		{Name: "client_port", Number: 5, Type: Integer, Presence: Known, Doc: "its port"},
		{Name: "server_ip", Number: 6, Type: Address, Presence: Known, Doc: "the side that answers"},
		{Name: "server_port", Number: 7, Type: Integer, Presence: Known, Doc: "its port"},
		{Name: "transport", Number: 23, Type: String, Presence: Known, Doc: "udp or tcp; with dnstap also dot, doh, doq, dnscrypt_udp, dnscrypt_tcp"},
		{Name: "interface", Number: 24, Type: String, Presence: Known, Doc: "where it was captured"},
		{Name: "vlan", Number: 25, Type: Integer, Presence: Known, Doc: "id of the (outermost) 802.1Q tag, outside or inside of tunnels"},
		{Name: "inner_vlan", Number: 26, Type: Integer, Presence: Known, Doc: "id of the innermost tag, when there are several"},
		{Name: "tunnel", Number: 27, Type: String, Presence: Known, Doc: "kinds of encapsulation that it came in, from the outside inwards, joined with /: mpls, pppoe, gre (NVGRE, too), pptp, erspan1, erspan2, erspan3, vxlan, vxlan-gpe, geneve, ipip, 6in4, 4in6, 6in6, etherip, gtp, l2tp, tzsp, teredo"},
		{Name: "tunnel_id", Number: 28, Type: Long, Presence: Known, Doc: "outermost id of a tunnel: VNI, GRE key (NVGRE's VSID is key / 256), MPLS label, TEID, or number of a session or call"},
		{Name: "inner_tunnel_id", Number: 29, Type: Long, Presence: Known, Doc: "innermost id of a tunnel, when there are several; two labels of one MPLS stack are two"},
		{Name: "tunnel_src_ip", Number: 30, Type: Address, Presence: Known, Doc: "source of the outermost IP header, when a tunnel is in it; client_ip and server_ip are the innermost addresses"},
		{Name: "tunnel_dst_ip", Number: 31, Type: Address, Presence: Known, Doc: "its destination"},
		{Name: "fragmented", Number: 32, Type: Boolean, Presence: Known, Doc: "true when it came in several IP fragments"},
	}},
	{Name: "dnstap", Fields: []Field{
		{Name: "dnstap_type", Number: 33, Type: String, Presence: Known, Doc: "who reports the message, and where on its way: AUTH_QUERY, AUTH_RESPONSE, RESOLVER_..., CLIENT_..., FORWARDER_..., STUB_..., TOOL_..., UPDATE_..., or TYPE15; in all records that came by dnstap"},
		{Name: "dnstap_identity", Number: 34, Type: String, Presence: Known, Doc: "name of the server that reports: text when it is printable ASCII, else 0x and hex"},
		{Name: "dnstap_version", Number: 35, Type: String, Presence: Known, Doc: "of its software, written likewise"},
		{Name: "dnstap_extra", Number: 36, Type: String, Presence: Known, Doc: "whatever else it says, written likewise"},
		{Name: "query_zone", Number: 37, Type: String, Presence: Known, Doc: "zone or bailiwick that the query belongs to, written as qname"},
		{Name: "http_protocol", Number: 38, Type: String, Presence: Known, Doc: "of DNS over HTTPS: HTTP1, HTTP2, HTTP3"},
		{Name: "policy", Number: 39, Type: Object, Of: policy, Presence: Known, Doc: "the operator's policy that was applied"},
	}},
	{Name: "header", Fields: []Field{
		{Name: "id", Number: 8, Type: Integer, Presence: Uncut, Doc: "message id"},
		{Name: "opcode", Number: 40, Type: String, Presence: Uncut, Doc: "QUERY, NOTIFY, UPDATE, ..., or OPCODE7"},
		{Name: "rcode", Number: 41, Type: String, Presence: Uncut, Doc: "NOERROR, NXDOMAIN, ..., with the upper bits of EDNS, or RCODE24"},
		{Name: "aa", Number: 42, Type: Boolean, Presence: Uncut, Doc: "authoritative answer"},
		{Name: "tc", Number: 43, Type: Boolean, Presence: Uncut, Doc: "truncated"},
		{Name: "rd", Number: 44, Type: Boolean, Presence: Uncut, Doc: "recursion desired"},
		{Name: "ra", Number: 45, Type: Boolean, Presence: Uncut, Doc: "recursion available"},
		{Name: "ad", Number: 46, Type: Boolean, Presence: Uncut, Doc: "authentic data"},
		{Name: "cd", Number: 47, Type: Boolean, Presence: Uncut, Doc: "checking disabled"},
		{Name: "size", Number: 9, Type: Integer, Presence: Always, Doc: "bytes of the DNS message"},
		{Name: "qdcount", Number: 48, Type: Integer, Presence: Known, Doc: "entries that the header claims; the four counts are there when the arrays below are not whole: malformed (as far as it has them), or omitted"},
		{Name: "ancount", Number: 49, Type: Integer, Presence: Known, Doc: "see qdcount"},
		{Name: "nscount", Number: 50, Type: Integer, Presence: Known, Doc: "see qdcount"},
		{Name: "arcount", Number: 51, Type: Integer, Presence: Known, Doc: "see qdcount"},
	}},
	{Name: "question", Fields: []Field{
		{Name: "qname", Number: 10, Type: String, Presence: Known, Doc: "presentation format (RFC 4343 escapes), lower-cased, no final dot but for the root"},
		{Name: "qtype", Number: 11, Type: String, Presence: Known, Doc: "mnemonic of the IANA registry, or TYPE123 (RFC 3597)"},
		{Name: "qclass", Number: 52, Type: String, Presence: Known, Doc: "IN, CH, HS, NONE, ANY, or CLASS123"},
		{Name: "questions", Number: 53, Type: Array, Of: question, Presence: Known, Doc: "all of them, when there are more than one"},
	}},
	{Name: "query", Fields: []Field{
		{Name: "retransmits", Number: 54, Type: Integer, Presence: Known, Doc: "queries with the same bytes that came before the response, and are in this record; in all records of kind transaction and unanswered, and in others when there are any"},
		{Name: "query_size", Number: 55, Type: Integer, Presence: Known, Doc: "bytes of the query, in records with both: all fields without query_ are of the response then"},
		{Name: "query_rd", Number: 56, Type: Boolean, Presence: Known, Doc: "rd of the query"},
		{Name: "query_ad", Number: 57, Type: Boolean, Presence: Known, Doc: "ad of the query"},
		{Name: "query_cd", Number: 58, Type: Boolean, Presence: Known, Doc: "cd of the query"},
		{Name: "query_edns", Number: 59, Type: Object, Of: edns, Presence: Known, Doc: "the OPT record of the query"},
		{Name: "query_answers", Number: 60, Type: Array, Of: rr, Presence: Known, Doc: "answer section of the query; of an UPDATE: prerequisites"},
		{Name: "query_authority", Number: 61, Type: Array, Of: rr, Presence: Known, Doc: "authority section of the query; of an UPDATE: updates"},
		{Name: "query_additional", Number: 62, Type: Array, Of: rr, Presence: Known, Doc: "additional section of the query without OPT"},
		{Name: "retry_of_id", Number: 63, Type: Integer, Presence: Known, Doc: "over TCP: id of the truncated answer over UDP that this query repeats, between the same addresses; a hint that may be missing"},
		{Name: "retry_of_port", Number: 64, Type: Integer, Presence: Known, Doc: "client_port of that answer"},
		{Name: "retry_after_us", Number: 65, Type: Long, Presence: Known, Doc: "from that answer to the (first) query over TCP, microseconds"},
	}},
	{Name: "sections", Fields: []Field{
		{Name: "answers", Number: 12, Type: Array, Of: rr, Presence: Known, Doc: "answer section; of an UPDATE: prerequisites"},
		{Name: "authority", Number: 13, Type: Array, Of: rr, Presence: Known, Doc: "authority section; of an UPDATE: updates"},
		{Name: "additional", Number: 14, Type: Array, Of: rr, Presence: Known, Doc: "additional section without the OPT record that edns shows"},
		{Name: "omitted", Number: 66, Type: Integer, Presence: Known, Doc: "questions and records left out because the record would be too large; the options of query_edns count as one"},
	}},
	{Name: "EDNS", Fields: []Field{
		{Name: "edns", Number: 15, Type: Object, Of: edns, Presence: Known, Doc: "the OPT record (RFC 6891)"},
	}},
	{Name: "enrichment", Fields: []Field{
		{Name: "registered_domain", Number: 67, Type: String, Presence: Reserved, Doc: "public suffix and one label"},
		{Name: "public_suffix", Number: 68, Type: String, Presence: Reserved, Doc: "of qname"},
		{Name: "client_asn", Number: 69, Type: Long, Presence: Reserved, Doc: "autonomous system of the client"},
		{Name: "client_country", Number: 70, Type: String, Presence: Reserved, Doc: "ISO 3166 code of the client"},
		{Name: "first_seen", Number: 71, Type: Boolean, Presence: Reserved, Doc: "the name was not seen before"},
		{Name: "tags", Number: 72, Type: Strings, Presence: Reserved, Doc: "set by filters"},
	}},
	{Name: "malformed", Fields: []Field{
		{Name: "malformed", Number: 73, Type: Object, Of: malformed, Presence: Known, Doc: "in records of that kind; the fields above hold what could be read before"},
	}},
	{Name: "heartbeat", Of: OfHeartbeats, Fields: []Field{
		{Name: "heartbeat", Number: 74, Type: Object, Of: heartbeat, Presence: Always, Doc: "what the sensor says of itself now and then (deliver.heartbeat); such a record has these fields and those of identity, time and kind, and no others"},
	}},
}

// Fields returns the fields of a record in the order of the JSON text.
func Fields() []Field {
	var all []Field
	for _, g := range Groups {
		all = append(all, g.Fields...)
	}
	return all
}

// FieldsOf returns the fields that the records of a scope can have, in the order of the JSON text.
func FieldsOf(scope Scope) []Field {
	var all []Field
	for _, g := range Groups {
		if g.Of == OfAll || g.Of == scope {
			all = append(all, g.Fields...)
		}
	}
	return all
}

// JSON is the JSON Schema of the record.
//
//go:embed dns.schema.json
var JSON []byte

// Proto is the Protobuf schema of the record.
//
//go:embed dns.proto
var Proto []byte
