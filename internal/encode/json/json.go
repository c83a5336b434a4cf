// SPDX-License-Identifier: Apache-2.0

// Package json encodes a message as one JSON object, version 1 of the record. The keys come
// from the field table of package schema; docs/record.md describes each field.
//
// The text is always ASCII: names and record data are in presentation format, which escapes
// every other byte.
package json

import (
	"math"
	"strconv"
	"time"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/schema"
)

var _ encode.Encoder = (*Encoder)(nil)

// Encoder writes records of one lane. It is used by one goroutine.
type Encoder struct {
	prefix encode.Text // all before the number of the record

	second    int64 // the Unix second that secondTxt shows
	secondTxt piece // the time stamp up to the fraction

	iface     string                              // the interface that originTxt shows
	originTxt [dnsmsg.NoTransport + 1]encode.Text // transport and interface, for each dnsmsg.Transport

	servers encode.Servers

	// What headers of the same flags have in common, from the opcode to the key of the size.
	headers [32]struct {
		key  uint32 // 0 when there is none
		text encode.Text
	}

	start   int // of the value in dst
	max     int // bytes that questions and records may fill the value to
	omitted int // questions, records and options of a query left out of this value

	// Where dst holds the name at the offset ownerAt of the message, so that the many records
	// of one owner cost a copy each. ownerAt is -1 when nothing is held.
	ownerAt, ownerFrom, ownerTo int
}

// New returns an encoder for the lane that id names.
func New(id encode.Identity) *Encoder {
	// No time in nanoseconds has the second that stands for none.
	e := &Encoder{second: math.MinInt64}
	p := []byte{'{'}
	p = appendUint(append(p, keyV...), schema.Version)
	p = appendQuoted(append(p, keySensor...), id.Sensor)
	p = appendQuoted(append(p, keyRun...), id.Run)
	p = appendUint(append(p, keyLane...), uint64(id.Lane))
	e.prefix.Set(append(p, keySeq...))
	e.setInterface("")
	return e
}

// Append implements encode.Encoder.
func (e *Encoder) Append(dst []byte, seq uint64, m *dnsmsg.Message) []byte {
	return e.append(dst, seq, m, nil)
}

// append appends the value that describes m, and t around it, which may be nil.
func (e *Encoder) append(dst []byte, seq uint64, m *dnsmsg.Message, t *dnsmsg.Transaction) []byte {
	edns, hasEDNS := m.EDNS()
	e.start, e.omitted, e.ownerAt = len(dst), 0, -1
	e.max = encode.MaxValue - maxGrowth*len(edns.Options)
	dst = e.prefix.Append(dst)
	dst = appendUint(dst, seq)
	dst = e.appendTime(dst, m.Time)
	if m.DNSTap == nil {
		dst = e.appendEnds(appendKind(dst, m, t), m)
	} else {
		dst = appendToldEnds(appendToldKind(dst, m, t), m)
	}
	dst = e.appendPath(dst, m)
	if m.DNSTap != nil {
		dst = appendDNSTap(dst, m.DNSTap)
	}
	head := len(dst)
	dst = e.headerOf(m).Append(appendUint(append(dst, keyId...), uint64(m.ID)))
	dst = appendUint(dst, uint64(m.Size))
	body := len(dst)
	if t == nil {
		dst = e.appendQuestions(dst, m)
	} else {
		dst = e.appendQuery(dst, t)
	}
	dst = e.appendSections(dst, m, &sectionStarts)
	if e.omitted > 0 {
		dst = appendUint(append(dst, keyOmitted...), uint64(e.omitted))
	}
	if hasEDNS {
		dst = appendEDNS(dst, &ednsStart, edns)
	}
	if m.Fault.Reason != dnsmsg.OK {
		dst = appendMalformed(dst, m)
		if m.HeaderFields() < 2 {
			dst, body = cutHeader(dst, head, body, m)
		}
	}
	if e.omitted > 0 || m.Fault.Reason != dnsmsg.OK {
		dst = insertCounts(dst, body, m)
	}
	return append(dst, '}')
}

// appendTime appends t in RFC 3339 with nanoseconds, UTC, up to the last digit. The date and
// time of day change once a second.
func (e *Encoder) appendTime(dst []byte, t int64) []byte {
	second, nano := t/1e9, t%1e9
	if nano < 0 {
		second, nano = second-1, nano+1e9
	}
	if second != e.second {
		e.second = second
		text := time.Unix(second, 0).UTC().
			AppendFormat(e.secondTxt.text[:0], keyTs+`"2006-01-02T15:04:05.`)
		e.secondTxt.n = uint8(len(text))
	}
	dst = e.secondTxt.append(dst)
	dst = append(dst, '0'+byte(nano/1e8))
	return dnsmsg.AppendDigits(dst, uint64(nano%1e8))
}

// setInterface makes the texts of all transports for messages from the interface name.
func (e *Encoder) setInterface(name string) {
	e.iface = name
	for i := range e.originTxt {
		text := e.originTxt[i].Buffer()
		if t := dnsmsg.Transport(i); t != dnsmsg.NoTransport {
			text = append(append(append(text, keyTransport+`"`...), t.String()...), '"')
		}
		if name != "" {
			text = appendQuoted(append(text, keyInterface...), name)
		}
		e.originTxt[i].Set(text)
	}
}

// appendKind appends what leads from the time to the client's address.
func appendKind(dst []byte, m *dnsmsg.Message, t *dnsmsg.Transaction) []byte {
	if t == nil {
		return kinds[encode.KindOf(m)].append(dst)
	}
	return append(appendPairing(append(dst, `Z"`...), t), keyClientIp+`"`...)
}

// appendEnds appends addresses and ports, from the client's address on.
func (e *Encoder) appendEnds(dst []byte, m *dnsmsg.Message) []byte {
	client, clientPort := m.Client()
	server, serverPort := m.Server()
	dst = dnsmsg.AppendAddr(dst, client)
	dst = appendUint(append(dst, `"`+keyClientPort...), uint64(clientPort))
	dst = e.servers.Append(append(dst, keyServerIp+`"`...), server)
	return appendUint(append(dst, `"`+keyServerPort...), uint64(serverPort))
}

func (e *Encoder) appendPath(dst []byte, m *dnsmsg.Message) []byte {
	if m.Interface != e.iface {
		e.setInterface(m.Interface)
	}
	dst = e.originTxt[m.Transport&7].Append(dst)
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
		dst = append(dnsmsg.AppendAddr(append(dst, keyTunnelSrcIp+`"`...), m.TunnelSrc), '"')
		dst = append(dnsmsg.AppendAddr(append(dst, keyTunnelDstIp+`"`...), m.TunnelDst), '"')
	}
	return dst
}

// headerOf returns what the header says, put together when it changes.
func (e *Encoder) headerOf(m *dnsmsg.Message) *encode.Text {
	rcode := m.Rcode()
	key := 1<<31 | uint32(rcode)<<16 | uint32(m.Flags)
	h := &e.headers[key*0x9e3779b1>>27] // a multiplicative hash, to five bits
	if h.key != key {
		h.key = key
		h.text.Set(appendHeader(h.text.Buffer(), m, rcode))
	}
	return &h.text
}

func appendHeader(dst []byte, m *dnsmsg.Message, rcode uint16) []byte {
	dst = append(append(dst, keyOpcode+`"`...), dnsmsg.OpcodeName(m.Opcode())...)
	dst = append(dnsmsg.AppendRcode(append(dst, `"`+keyRcode+`"`...), rcode), '"')
	for _, f := range []struct {
		key  string
		flag uint16
	}{
		{keyAa, dnsmsg.FlagAA}, {keyTc, dnsmsg.FlagTC}, {keyRd, dnsmsg.FlagRD},
		{keyRa, dnsmsg.FlagRA}, {keyAd, dnsmsg.FlagAD}, {keyCd, dnsmsg.FlagCD},
	} {
		dst = strconv.AppendBool(append(dst, f.key...), m.Flags&f.flag != 0)
	}
	return append(dst, keySize...)
}

func appendMalformed(dst []byte, m *dnsmsg.Message) []byte {
	dst = append(dst, keyMalformed+`{`+keyMalformedReason+`"`...)
	dst = append(dst, m.Fault.Reason.String()...)
	dst = appendUint(append(dst, `"`+keyMalformedOffset...), uint64(m.Fault.Offset))
	dst = append(dst, keyMalformedBytes+`"`...)
	dst = dnsmsg.AppendHex(dst, m.Wire[:min(len(m.Wire), encode.MaxMalformed)])
	return append(dst, `"}`...)
}

// cutHeader takes what m ends before out of the header, which stands from head to body, and returns
// where it ends then. It is quicker to look for it here than before all that is whole.
func cutHeader(dst []byte, head, body int, m *dnsmsg.Message) (cut []byte, end int) {
	text := dst[:head] // all that is written here is less than what it overwrites
	if m.HeaderFields() > 0 {
		text = appendUint(append(text, keyId...), uint64(m.ID))
	}
	text = appendUint(append(text, keySize...), uint64(m.Size))
	return append(text, dst[body:]...), len(text)
}

// insertCounts inserts the counts that the header claims at the offset at, where the table of
// fields has them. That costs a move of what follows, and only records that are not whole pay.
func insertCounts(dst []byte, at int, m *dnsmsg.Message) []byte {
	var text [96]byte
	counts := text[:0]
	for i := range max(0, m.HeaderFields()-2) {
		key := [...]string{keyQdcount, keyAncount, keyNscount, keyArcount}[i]
		counts = appendUint(append(counts, key...), uint64([...]uint16{m.QD, m.AN, m.NS, m.AR}[i]))
	}
	end := len(dst)
	dst = append(dst, counts...)
	copy(dst[at+len(counts):], dst[at:end])
	copy(dst[at:], counts)
	return dst
}
