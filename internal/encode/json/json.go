// SPDX-License-Identifier: Apache-2.0

// Package json encodes a message as one JSON object, version 1 of the record. The keys come
// from the field table of package schema; docs/record.md describes each field.
//
// The text is always ASCII: names and record data are in presentation format, which escapes
// every other byte.
package json

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"strconv"
	"time"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/schema"
)

var _ encode.Encoder = (*Encoder)(nil)

// Encoder writes records of one lane. It is used by one goroutine.
type Encoder struct {
	prefix []byte // all before the number of the record
	max    int    // bytes; see encode.MaxValue

	second    int64  // the Unix second that secondTxt shows
	secondTxt []byte // the time stamp up to the fraction

	iface    string // the interface that ifaceTxt shows
	ifaceTxt []byte // its key and value

	// Where dst holds the name at the offset ownerAt of the message, so that the many records
	// of one owner cost a copy each. ownerAt is -1 when nothing is held.
	ownerAt, ownerFrom, ownerTo int

	start   int // of the value in dst
	omitted int // questions and records left out of this value
}

// New returns an encoder for the lane that id names.
func New(id encode.Identity) *Encoder {
	e := &Encoder{max: encode.MaxValue, second: -1}
	p := append(e.prefix, '{')
	p = strconv.AppendInt(append(p, keyV...), schema.Version, 10)
	p = appendQuoted(append(p, keySensor...), id.Sensor)
	p = appendQuoted(append(p, keyRun...), id.Run)
	p = strconv.AppendInt(append(p, keyLane...), int64(id.Lane), 10)
	e.prefix = append(p, keySeq...)
	return e
}

// appendQuoted appends s as encoding/json writes it. It is for the few strings that are not
// made of DNS data.
func appendQuoted(dst []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // a string cannot fail to marshal
		return append(dst, `""`...)
	}
	return append(dst, quoted...)
}

// Append implements encode.Encoder.
func (e *Encoder) Append(dst []byte, seq uint64, m *dnsmsg.Message) []byte {
	return e.append(dst, seq, m, nil)
}

// append appends the value that describes m, and t around it, which may be nil.
func (e *Encoder) append(dst []byte, seq uint64, m *dnsmsg.Message, t *dnsmsg.Transaction) []byte {
	e.start, e.omitted, e.ownerAt = len(dst), 0, -1
	dst = append(dst, e.prefix...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = e.appendTime(append(dst, keyTs...), m.Time)
	if m.DNSTap != nil && (t == nil || t.Query == nil) {
		dst = appendToldLatency(dst, m)
	}
	if t == nil {
		dst = append(dst, kindOf(m)...)
	} else {
		dst = appendKind(dst, t)
	}
	dst = e.appendPath(dst, m)
	if m.DNSTap != nil {
		dst = appendDNSTap(dst, m.DNSTap)
	}
	dst = appendHeader(dst, m)
	body := len(dst)
	if t == nil {
		dst = e.appendQuestions(dst, m)
	} else {
		dst = e.appendQuery(dst, t)
	}
	dst = e.appendSections(dst, m, &sectionKeys)
	if e.omitted > 0 {
		dst = strconv.AppendInt(append(dst, keyOmitted...), int64(e.omitted), 10)
	}
	if edns, ok := m.EDNS(); ok {
		dst = appendEDNS(dst, keyEdns, edns)
	}
	if m.Fault.Reason != dnsmsg.OK {
		dst = appendMalformed(dst, m)
	}
	if e.omitted > 0 || m.Fault.Reason != dnsmsg.OK {
		dst = insertCounts(dst, body, m)
	}
	return append(dst, '}')
}

func kindOf(m *dnsmsg.Message) string {
	switch {
	case m.Fault.Reason != dnsmsg.OK:
		return keyKind + `"malformed"`
	case m.Response():
		return keyKind + `"response"`
	}
	return keyKind + `"query"`
}

// appendTime appends t in RFC 3339 with nanoseconds, UTC. The date and time of day change once
// a second; the fraction is nine digits.
func (e *Encoder) appendTime(dst []byte, t int64) []byte {
	second, nano := t/1e9, t%1e9
	if nano < 0 {
		second, nano = second-1, nano+1e9
	}
	if second != e.second {
		e.second = second
		e.secondTxt = time.Unix(second, 0).UTC().AppendFormat(e.secondTxt[:0], `"2006-01-02T15:04:05.`)
	}
	dst = append(dst, e.secondTxt...)
	var digits [11]byte
	for i := 8; i >= 0; i-- {
		digits[i] = byte('0' + nano%10)
		nano /= 10
	}
	digits[9], digits[10] = 'Z', '"'
	return append(dst, digits[:]...)
}

func (e *Encoder) appendPath(dst []byte, m *dnsmsg.Message) []byte {
	if m.DNSTap != nil {
		dst = appendToldEnds(dst, m)
	} else {
		client, clientPort := m.Client()
		server, serverPort := m.Server()
		dst = appendAddr(append(dst, keyClientIp+`"`...), client)
		dst = appendUint(append(dst, `"`+keyClientPort...), uint64(clientPort))
		dst = appendAddr(append(dst, keyServerIp+`"`...), server)
		dst = appendUint(append(dst, `"`+keyServerPort...), uint64(serverPort))
	}
	switch m.Transport {
	case dnsmsg.UDP:
		dst = append(dst, keyTransport+`"udp"`...)
	case dnsmsg.NoTransport:
	default:
		dst = append(append(append(dst, keyTransport+`"`...), m.Transport.String()...), '"')
	}
	if m.Interface != "" {
		if m.Interface != e.iface {
			e.iface = m.Interface
			e.ifaceTxt = appendQuoted(append(e.ifaceTxt[:0], keyInterface...), m.Interface)
		}
		dst = append(dst, e.ifaceTxt...)
	}
	if m.VLAN != 0 {
		dst = appendUint(append(dst, keyVlan...), uint64(m.VLAN))
	}
	if m.InnerVLAN != 0 {
		dst = appendUint(append(dst, keyInnerVlan...), uint64(m.InnerVLAN))
	}
	if m.Tunnel.Count != 0 {
		dst = appendTunnel(dst, m)
	}
	if m.Fragmented {
		dst = append(dst, keyFragmented+`true`...)
	}
	return dst
}

func appendTunnel(dst []byte, m *dnsmsg.Message) []byte {
	dst = append(m.Tunnel.Append(append(dst, keyTunnel+`"`...)), '"')
	if m.TunnelID.Known {
		dst = appendUint(append(dst, keyTunnelId...), uint64(m.TunnelID.Value))
	}
	if m.InnerTunnelID.Known {
		dst = appendUint(append(dst, keyInnerTunnelId...), uint64(m.InnerTunnelID.Value))
	}
	if m.TunnelSrc.IsValid() {
		dst = append(appendAddr(append(dst, keyTunnelSrcIp+`"`...), m.TunnelSrc), '"')
		dst = append(appendAddr(append(dst, keyTunnelDstIp+`"`...), m.TunnelDst), '"')
	}
	return dst
}

func appendHeader(dst []byte, m *dnsmsg.Message) []byte {
	dst = appendUint(append(dst, keyId...), uint64(m.ID))
	dst = append(dst, keyOpcode+`"`...)
	dst = append(dst, dnsmsg.OpcodeName(m.Opcode())...)
	dst = append(dst, `"`+keyRcode+`"`...)
	dst = dnsmsg.AppendRcode(dst, m.Rcode())
	dst = append(dst, flagsText[flagsIndex(m.Flags)]...)
	return appendUint(append(dst, keySize...), uint64(m.Size))
}

// flagsText holds the six flags in all their combinations, from the quote that ends the rcode.
var flagsText = func() (texts [64]string) {
	for i := range texts {
		text := `"`
		for bit, key := range [...]string{keyAa, keyTc, keyRd, keyRa, keyAd, keyCd} {
			text += key + strconv.FormatBool(i>>(5-bit)&1 == 1)
		}
		texts[i] = text
	}
	return texts
}()

// flagsIndex packs AA, TC, RD, RA and AD, CD, which a reserved bit parts, into six bits.
func flagsIndex(flags uint16) uint16 {
	return flags>>7&15<<2 | flags>>4&3
}

func (e *Encoder) appendQuestions(dst []byte, m *dnsmsg.Message) []byte {
	if len(m.Questions) == 0 {
		return dst
	}
	q := &m.Questions[0]
	dst = append(dst, keyQname+`"`...)
	dst = e.appendOwner(dst, m, int(q.Name))
	dst = dnsmsg.AppendType(append(dst, `"`+keyQtype+`"`...), q.Type)
	dst = dnsmsg.AppendClass(append(dst, `"`+keyQclass+`"`...), q.Class)
	dst = append(dst, '"')
	if len(m.Questions) == 1 {
		return dst
	}
	dst = append(dst, keyQuestions+`[`...)
	for i := range m.Questions {
		q, mark := &m.Questions[i], len(dst)
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{`+keyQuestionName+`"`...)
		dst = e.appendOwner(dst, m, int(q.Name))
		dst = dnsmsg.AppendType(append(dst, `"`+keyQuestionType+`"`...), q.Type)
		dst = dnsmsg.AppendClass(append(dst, `"`+keyQuestionClass+`"`...), q.Class)
		dst = append(dst, `"}`...)
		if dst, e.omitted = e.bound(dst, mark, len(m.Questions)-i); e.omitted > 0 {
			break
		}
	}
	return append(dst, ']')
}

// bound takes back what was appended since mark when the value has become too large, and
// returns how many entries, left of those to come, are omitted then.
func (e *Encoder) bound(dst []byte, mark, left int) ([]byte, int) {
	if len(dst)-e.start <= e.max {
		return dst, 0
	}
	e.ownerAt = -1
	return dst[:mark], left
}

// none is no section, and the number of them.
const none = dnsmsg.Additional + 1

var sectionKeys = [none]string{
	dnsmsg.Answer:     keyAnswers + `[`,
	dnsmsg.Authority:  keyAuthority + `[`,
	dnsmsg.Additional: keyAdditional + `[`,
}

func (e *Encoder) appendSections(dst []byte, m *dnsmsg.Message, keys *[none]string) []byte {
	open := none
	for i := range m.RRs {
		rr := &m.RRs[i]
		if i == m.OPT {
			continue
		}
		mark := len(dst)
		switch {
		case e.omitted > 0:
			e.omitted++
			continue
		case rr.Section == open:
			dst = append(dst, ',')
		case open != none:
			dst = append(dst, ']')
			fallthrough
		default:
			dst = append(dst, keys[rr.Section]...)
		}
		dst = e.appendRR(dst, m, rr)
		if dst, e.omitted = e.bound(dst, mark, 1); e.omitted == 0 {
			open = rr.Section
		}
	}
	if open != none {
		dst = append(dst, ']')
	}
	return dst
}

func (e *Encoder) appendRR(dst []byte, m *dnsmsg.Message, rr *dnsmsg.RR) []byte {
	dst = append(dst, `{`+keyRrName+`"`...)
	dst = e.appendOwner(dst, m, int(rr.Name))
	dst = dnsmsg.AppendType(append(dst, `"`+keyRrType+`"`...), rr.Type)
	if rr.Class == 1 {
		dst = append(dst, `"`+keyRrClass+`"IN"`+keyRrTtl...)
	} else {
		dst = dnsmsg.AppendClass(append(dst, `"`+keyRrClass+`"`...), rr.Class)
		dst = append(dst, `"`+keyRrTtl...)
	}
	dst = appendUint(dst, uint64(rr.TTL))
	dst = append(dst, keyRrData+`"`...)
	data := len(dst)
	dst = escape(m.AppendData(dst, rr), data)
	return append(dst, `"}`...)
}

// appendOwner appends the name at the offset at. A name that is nothing but a pointer is known
// by where it points.
func (e *Encoder) appendOwner(dst []byte, m *dnsmsg.Message, at int) []byte {
	if w := m.Wire; at+1 < len(w) && w[at] >= 0xc0 {
		at = int(w[at]&0x3f)<<8 | int(w[at+1])
	}
	if at == e.ownerAt {
		return append(dst, dst[e.ownerFrom:e.ownerTo]...)
	}
	from := len(dst)
	dst, _ = dnsmsg.AppendQName(dst, m.Wire, at)
	dst = escape(dst, from)
	e.ownerAt, e.ownerFrom, e.ownerTo = at, from, len(dst)
	return dst
}

// escape makes the presentation text from the offset from on a JSON string's content: each quote
// and backslash gets a backslash. There are no other bytes in it that JSON minds.
func escape(dst []byte, from int) []byte {
	text := dst[from:]
	if bytes.IndexByte(text, '\\') < 0 && bytes.IndexByte(text, '"') < 0 {
		return dst
	}
	end := len(dst)
	for _, c := range text {
		if c == '"' || c == '\\' {
			dst = append(dst, 0)
		}
	}
	// From the back, so that nothing is overwritten before it was moved.
	for i, to := end-1, len(dst)-1; i < to; i, to = i-1, to-1 {
		dst[to] = dst[i]
		if c := dst[i]; c == '"' || c == '\\' {
			to--
			dst[to] = '\\'
		}
	}
	return dst
}

// maxMalformedBytes of a malformed message go into its record.
const maxMalformedBytes = 128

func appendMalformed(dst []byte, m *dnsmsg.Message) []byte {
	dst = append(dst, keyMalformed+`{`+keyMalformedReason+`"`...)
	dst = append(dst, m.Fault.Reason.String()...)
	dst = appendUint(append(dst, `"`+keyMalformedOffset...), uint64(m.Fault.Offset))
	dst = append(dst, keyMalformedBytes+`"`...)
	dst = hex.AppendEncode(dst, m.Wire[:min(len(m.Wire), maxMalformedBytes)])
	return append(dst, `"}`...)
}

// insertCounts inserts the counts that the header claims at the offset at, where the table of
// fields has them. That costs a move of what follows, and only records that are not whole pay.
func insertCounts(dst []byte, at int, m *dnsmsg.Message) []byte {
	var text [96]byte
	counts := appendUint(append(text[:0], keyQdcount...), uint64(m.QD))
	counts = appendUint(append(counts, keyAncount...), uint64(m.AN))
	counts = appendUint(append(counts, keyNscount...), uint64(m.NS))
	counts = appendUint(append(counts, keyArcount...), uint64(m.AR))
	end := len(dst)
	dst = append(dst, counts...)
	copy(dst[at+len(counts):], dst[at:end])
	copy(dst[at:], counts)
	return dst
}

func appendAddr(dst []byte, a netip.Addr) []byte { return dnsmsg.AppendAddr(dst, a) }

// appendUint appends v in decimal; most of the numbers of a record have one to five digits.
func appendUint(dst []byte, v uint64) []byte { return strconv.AppendUint(dst, v, 10) }
