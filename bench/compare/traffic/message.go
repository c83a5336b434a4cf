// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
)

// Types and classes of RFC 1035, 3596, 2782, 4034, 9460; OPT and its options of RFC 6891, 7871, 7873.
const (
	typeA, typeNS, typeCNAME, typeSOA, typePTR       = 1, 2, 5, 6, 12
	typeMX, typeTXT, typeAAAA, typeSRV, typeOPT      = 15, 16, 28, 33, 41
	typeDS, typeRRSIG, typeDNSKEY, typeHTTPS         = 43, 46, 48, 65
	classIN                                          = 1
	flagQR, flagAA, flagTC, flagRD, flagRA, flagAD   = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020
	rcodeServFail, rcodeNXDomain                     = 2, 3
	optionECS, optionCookie                          = 8, 10
	headerLen, countAnswers, countAuthority, countAR = 12, 6, 8, 10
	pointer, pointerLimit                            = 0xc000, 0x4000
)

// builder writes one DNS message. The slice it returns is its own until the next begin.
type builder struct {
	b       []byte
	offsets map[string]int // of each suffix that can be pointed to
}

func newBuilder() *builder { return &builder{offsets: make(map[string]int)} }

func (m *builder) begin(id uint16, flags int) {
	clear(m.offsets)
	m.b = binary.BigEndian.AppendUint16(m.b[:0], id)
	m.u16(flags)
	m.b = append(m.b, make([]byte, headerLen-4)...)
}

func (m *builder) u16(v int) { m.b = binary.BigEndian.AppendUint16(m.b, uint16(v)) }

func (m *builder) u32(v uint32) { m.b = binary.BigEndian.AppendUint32(m.b, v) }

// count adds one to the section counter at an offset in the header.
func (m *builder) count(at int) {
	binary.BigEndian.PutUint16(m.b[at:], binary.BigEndian.Uint16(m.b[at:])+1)
}

// name writes a name, compressed as far as what stands before allows (RFC 1035 section 4.1.4).
func (m *builder) name(name string) {
	for name != "" {
		if at, ok := m.offsets[name]; ok {
			m.u16(pointer | at)
			return
		}
		if len(m.b) < pointerLimit {
			m.offsets[name] = len(m.b)
		}
		label, rest, _ := strings.Cut(name, ".")
		m.b = append(append(m.b, byte(len(label))), label...)
		name = rest
	}
	m.b = append(m.b, 0)
}

// plainName writes a name whole, where compression is forbidden (RFC 3597 section 4).
func (m *builder) plainName(name string) {
	for label := range strings.SplitSeq(name, ".") {
		m.b = append(append(m.b, byte(len(label))), label...)
	}
	m.b = append(m.b, 0)
}

func (m *builder) question(name string, qtype int) {
	m.name(name)
	m.u16(qtype)
	m.u16(classIN)
	m.count(4)
}

// record writes a resource record into a section; data writes its data.
func (m *builder) record(section int, name string, rrtype int, ttl uint32, data func()) {
	m.name(name)
	m.u16(rrtype)
	m.u16(classIN)
	m.u32(ttl)
	at := len(m.b)
	m.u16(0)
	data()
	binary.BigEndian.PutUint16(m.b[at:], uint16(len(m.b)-at-2))
	m.count(section)
}

func (m *builder) soa(zone string, r *rand.Rand) {
	m.record(countAuthority, zone, typeSOA, 900, func() {
		m.name("ns1." + zone)
		m.name("hostmaster." + zone)
		for _, v := range []uint32{2026_000000 + r.Uint32N(999_999), 7200, 900, 1_209_600, 300} {
			m.u32(v)
		}
	})
}

// rrsig writes a signature of RSA (256 bytes) or ECDSA (64 bytes) length over a set (RFC 4034).
func (m *builder) rrsig(section int, name string, covered int, ttl uint32, r *rand.Rand) {
	m.record(section, name, typeRRSIG, ttl, func() {
		algorithm, length := 13, 64
		if r.IntN(3) == 0 {
			algorithm, length = 8, 256
		}
		m.u16(covered)
		m.b = append(m.b, byte(algorithm), byte(strings.Count(name, ".")+1))
		m.u32(ttl)
		m.u32(1_772_000_000)
		m.u32(1_769_000_000)
		m.u16(int(r.Uint32() & 0xffff))
		zone := name
		if _, parent, ok := strings.Cut(name, "."); ok && strings.Contains(parent, ".") {
			zone = parent
		}
		m.plainName(strings.ToLower(zone))
		m.random(length, r)
	})
}

func (m *builder) random(n int, r *rand.Rand) {
	for n > 0 {
		word := r.Uint64()
		for range min(n, 8) {
			m.b = append(m.b, byte(word))
			word >>= 8
		}
		n -= 8
	}
}

// edns is what a client says in its OPT record.
type edns struct {
	used, do, cookie, ecs bool
	size                  int // of UDP payloads it takes
}

// opt writes the OPT record of a query or of its response (RFC 6891).
func (m *builder) opt(e edns, answer bool, r *rand.Rand) {
	m.b = append(m.b, 0)
	m.u16(typeOPT)
	m.u16(e.size)
	flags := uint32(0)
	if e.do {
		flags = 0x8000
	}
	m.u32(flags)
	at := len(m.b)
	m.u16(0)
	if e.cookie { // RFC 7873: 8 bytes of the client's, and of a server's between 8 and 32
		length := 8
		if answer {
			length = 24
		}
		m.u16(optionCookie)
		m.u16(length)
		m.random(length, r)
	}
	if e.ecs { // RFC 7871: family 1, source and scope prefix, 24 bits of address
		m.u16(optionECS)
		m.u16(7)
		m.u16(1)
		m.b = append(m.b, 24, 0, 198, 51, 100)
	}
	binary.BigEndian.PutUint16(m.b[at:], uint16(len(m.b)-at-2))
	m.count(countAR)
}
