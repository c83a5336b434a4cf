// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// observation is one DNS message as tshark and a record both show it.
type observation struct {
	time      string // seconds since the Unix epoch with nine decimals
	path      string // transport, source and destination
	header    string // id, flags, counts
	questions string
	faulty    bool   // it could not be read to its end
	cut       bool   // of tshark only: the capture did not keep the whole frame
	protocols string // of tshark only
}

// String returns what must agree even where a message is faulty.
func (o observation) String() string { return o.path + " " + o.header }

// readOracle returns tshark's list in the file at path.
func readOracle(t *testing.T, path string) []observation {
	t.Helper()
	var list []observation
	for _, row := range readTSV(t, path) {
		list = append(list, oracleRow(row))
	}
	return list
}

// readTSV returns the rows of a file of tab-separated values, by column.
func readTSV(t *testing.T, path string) []map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	names := strings.Split(strings.TrimPrefix(lines[0], "#"), "\t")
	var rows []map[string]string
	for _, line := range lines[1:] {
		row := make(map[string]string, len(names))
		for i, value := range strings.Split(line, "\t") {
			row[names[i]] = value
		}
		rows = append(rows, row)
	}
	return rows
}

// oracleRow reads a row of either kind of list: those beside our own captures have other names for
// some columns and show the first question alone.
func oracleRow(row map[string]string) observation {
	col := func(names ...string) string {
		for _, name := range names {
			if v, ok := row[name]; ok {
				return v
			}
		}
		return ""
	}
	number := func(text string) uint16 { // an empty column is a header that was not there
		n, _ := strconv.ParseUint(text, 0, 16)
		return uint16(n)
	}
	flags := number(row["flags"]) &^ 0x0040 // the reserved bit, which no record shows
	at := col("time", "time_epoch")
	if at == "" { // a simple packet block of pcapng has no time
		at = "0.000000000"
	}
	return observation{
		time: at,
		path: fmt.Sprintf("%s %s#%s > %s#%s", row["transport"], row["src"], row["sport"],
			row["dst"], row["dport"]),
		header: fmt.Sprintf("id %d flags %04x counts %d %d %d %d", number(col("id", "dns_id")),
			flags, number(row["qd"]), number(row["an"]), number(row["ns"]), number(row["ar"])),
		questions: oracleQuestions(row["qname_hex"], row["qtype"], row["qclass"], row["proto"]),
		faulty:    row["malformed"] == "1",
		cut:       col("cut", "cap_truncated") == "1",
		protocols: row["protocols"],
	}
}

// oracleQuestions rebuilds the question section, because a name may point into one before it, and
// writes it as a record has it.
func oracleQuestions(names, types, classes, proto string) string {
	if names == "" {
		return ""
	}
	var at []int
	wire := make([]byte, dnsmsg.HeaderLen)
	qtypes, qclasses := strings.Split(types, "|"), strings.Split(classes, "|")
	for _, name := range strings.Split(names, "|") {
		b, err := hex.DecodeString(name)
		if err != nil {
			return "no hexadecimal: " + name
		}
		at = append(at, len(wire))
		wire = append(append(wire, b...), 0, 0, 0, 0) // type and class
	}
	var list []string
	for i, o := range at {
		if i >= len(qtypes) || i >= len(qclasses) {
			break
		}
		qtype, _ := strconv.ParseUint(qtypes[i], 0, 16)
		qclass, _ := strconv.ParseUint(qclasses[i], 0, 16)
		list = append(list, showQuestion(presentation(wire, o),
			string(dnsmsg.AppendType(nil, uint16(qtype))),
			string(dnsmsg.AppendClass(nil, uint16(qclass))), proto == "mdns"))
	}
	return strings.Join(list, ", ")
}

// showQuestion writes one question. tshark takes the top bit off a class of multicast DNS, where it
// asks for a unicast answer (RFC 6762, section 5.4).
func showQuestion(name, qtype, class string, multicast bool) string {
	if multicast {
		for c := range uint16(256) {
			if class == string(dnsmsg.AppendClass(nil, c|0x8000)) {
				class = string(dnsmsg.AppendClass(nil, c))
			}
		}
	}
	return name + " " + class + " " + qtype
}

// presentation writes the name at o as dig does, lower-cased, without the final dot. It is written
// apart from the program's own.
func presentation(wire []byte, o int) string {
	var b strings.Builder
	for jumps := 0; o < len(wire) && wire[o] != 0; {
		n := int(wire[o])
		if n >= 0xc0 && o+1 < len(wire) {
			o = int(binary.BigEndian.Uint16(wire[o:]) & 0x3fff)
			if jumps++; jumps > 127 {
				return "loop"
			}
			continue
		}
		if n > 63 || o+1+n > len(wire) {
			return "bad label"
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		for _, c := range wire[o+1 : o+1+n] {
			switch {
			case strings.IndexByte(`.;\()@$"`, c) >= 0:
				b.WriteString(`\` + string(rune(c)))
			case c <= ' ' || c >= 0x7f:
				fmt.Fprintf(&b, `\%03d`, c)
			case 'A' <= c && c <= 'Z':
				b.WriteByte(c + 'a' - 'A')
			default:
				b.WriteByte(c)
			}
		}
		o += 1 + n
	}
	if b.Len() == 0 {
		return "."
	}
	return b.String()
}

// printed is a record as far as tshark has the same.
type printed struct {
	Time       string `json:"ts"`
	Kind       string `json:"kind"`
	Client     string `json:"client_ip"`
	ClientPort int    `json:"client_port"`
	Server     string `json:"server_ip"`
	ServerPort int    `json:"server_port"`
	Transport  string `json:"transport"`
	ID         uint16 `json:"id"`
	Opcode     string `json:"opcode"`
	Rcode      string `json:"rcode"`

	AA, TC, RD, RA, AD, CD bool

	Qname     string `json:"qname"`
	Qtype     string `json:"qtype"`
	Qclass    string `json:"qclass"`
	Questions []struct{ Name, Type, Class string }

	Answers, Authority, Additional []json.RawMessage

	EDNS                               json.RawMessage
	QDCount, ANCount, NSCount, ARCount *int
	Malformed                          *struct{ Reason, Bytes string }
}

// codes are the numbers of names, as far as four bits can tell them.
type codes struct{ opcodes, rcodes map[string]uint16 }

func newCodes() codes {
	c := codes{map[string]uint16{}, map[string]uint16{}}
	for n := range uint16(16) {
		c.opcodes[dnsmsg.OpcodeName(uint8(n))] = n
	}
	for n := range uint16(4096) {
		c.rcodes[string(dnsmsg.AppendRcode(nil, n))] = n & 15
	}
	return c
}

// observed reads the line that Print wrote.
func (c codes) observed(line []byte) (observation, error) {
	var r printed
	if err := json.Unmarshal(line, &r); err != nil {
		return observation{}, fmt.Errorf("not a record: %w: %s", err, line)
	}
	response := r.Kind == "response"
	if r.Malformed != nil && len(r.Malformed.Bytes) >= 6 { // the kind does not tell
		response = r.Malformed.Bytes[4] >= '8'
	}
	flags := c.opcodes[r.Opcode]<<11 | c.rcodes[r.Rcode]
	for bit, set := range map[uint16]bool{
		dnsmsg.FlagQR: response, dnsmsg.FlagAA: r.AA, dnsmsg.FlagTC: r.TC, dnsmsg.FlagRD: r.RD,
		dnsmsg.FlagRA: r.RA, dnsmsg.FlagAD: r.AD, dnsmsg.FlagCD: r.CD,
	} {
		if set {
			flags |= bit
		}
	}
	src := fmt.Sprintf("%s#%d", r.Client, r.ClientPort)
	dst := fmt.Sprintf("%s#%d", r.Server, r.ServerPort)
	if response {
		src, dst = dst, src
	}
	at, err := time.Parse(time.RFC3339Nano, r.Time)
	if err != nil {
		return observation{}, err
	}
	n := r.counts()
	return observation{
		time: fmt.Sprintf("%d.%09d", at.Unix(), at.Nanosecond()),
		path: r.Transport + " " + src + " > " + dst,
		header: fmt.Sprintf("id %d flags %04x counts %d %d %d %d", r.ID, flags,
			n[0], n[1], n[2], n[3]),
		// The ports tell multicast DNS as tshark does.
		questions: r.questions(r.ClientPort == 5353 || r.ServerPort == 5353),
		faulty:    r.Malformed != nil,
	}, nil
}

// counts returns what the header claims, from the lists where they are whole.
func (r printed) counts() [4]int {
	if r.QDCount != nil {
		return [4]int{*r.QDCount, *r.ANCount, *r.NSCount, *r.ARCount}
	}
	n := [4]int{len(r.Questions), len(r.Answers), len(r.Authority), len(r.Additional)}
	if n[0] == 0 && r.Qname != "" {
		n[0] = 1
	}
	if r.EDNS != nil {
		n[3]++ // the OPT record is shown there
	}
	return n
}

func (r printed) questions(multicast bool) string {
	var list []string
	for _, q := range r.Questions {
		list = append(list, showQuestion(q.Name, q.Type, q.Class, multicast))
	}
	if list == nil && r.Qname != "" {
		list = append(list, showQuestion(r.Qname, r.Qtype, r.Qclass, multicast))
	}
	return strings.Join(list, ", ")
}
