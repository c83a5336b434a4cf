// SPDX-License-Identifier: Apache-2.0

package match

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// key is what a query and its response have in common, as two hashes of 64 bits. The numbers that
// they begin with are random and never leave the process, so nobody can choose messages that
// collide; that two different messages on the same addresses, ports and id do so by chance, once
// in some 2^60, is less likely than a bit that flips in memory. That saves storing and comparing
// the parts.
type key struct {
	flow     uint64 // addresses, ports, transport, id, opcode, and who reports it
	question uint64 // all questions, names in lower case
	bare     bool   // there is no question
}

const (
	// maxQuestions are compared. One is usual; without a bound a message of pointers to one long
	// name would cost megabytes of hashing.
	maxQuestions = 8

	maxName     = 255 // bytes of a name (RFC 1035, section 2.3.4)
	maxLabel    = 63
	pointerBits = 0xc0
)

// keys makes keys. Two of it agree when their numbers do.
type keys struct{ begin, factor uint64 }

// newKeys returns one of random numbers: math/rand/v2 seeds ChaCha8 from the system, and nothing
// of its output is ever seen.
func newKeys() keys { return keys{begin: rand.Uint64(), factor: rand.Uint64() | 1} }

// mix returns the hash h with x added to it: the two halves of a product of 128 bits that nobody
// knows a factor of. hash/maphash does about the same, but wants all bytes in a row, and to put
// them there takes longer than the rest of a key.
func (k *keys) mix(h, x uint64) uint64 {
	hi, lo := bits.Mul64(h^x, k.factor)
	return hi ^ lo
}

// message returns the key of m. ok is false when its questions cannot all be read.
func (k *keys) message(m *dnsmsg.Message) (_ key, ok bool) {
	if len(m.Wire) < dnsmsg.HeaderLen || len(m.Questions) != int(m.QD) {
		return key{}, false
	}
	made := key{flow: k.flow(m), question: k.question(m), bare: m.QD == 0}
	if m.Transport == dnsmsg.DoH || m.Transport == dnsmsg.DoQ {
		// Streams take the place of ids, which are all 0 (RFC 8484, section 4.1; RFC 9250, section
		// 4.2.1), so many queries have the same path. The question has to part them.
		made.flow ^= made.question
	}
	return made, true
}

// flow hashes the path of m from the client's side, its id and its opcode.
func (k *keys) flow(m *dnsmsg.Message) uint64 {
	h := k.path(m)
	client, server := m.SrcPort, m.DstPort
	if m.Response() {
		client, server = server, client
	}
	h = k.mix(h, uint64(client)|uint64(server)<<16|uint64(m.ID)<<32|
		uint64(m.Transport)<<48|uint64(m.Opcode())<<56)
	if m.DNSTap != nil {
		h = k.mix(h, uint64(vantage(m.DNSTap)))
	}
	return h
}

// retry hashes what a query over TCP has in common with the one over UDP that it repeats.
func (k *keys) retry(m *dnsmsg.Message, question uint64) uint64 {
	return k.mix(k.path(m), question)
}

// path hashes the addresses of client and server.
func (k *keys) path(m *dnsmsg.Message) uint64 {
	if m.Response() {
		return k.address(k.address(k.begin, &m.Dst), &m.Src)
	}
	return k.address(k.address(k.begin, &m.Src), &m.Dst)
}

func (k *keys) address(h uint64, a *netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return k.mix(h, uint64(binary.BigEndian.Uint32(b[:])))
	}
	b := a.As16()
	return k.mix(k.mix(h, binary.BigEndian.Uint64(b[:])), binary.BigEndian.Uint64(b[8:]))
}

func (k *keys) question(m *dnsmsg.Message) uint64 {
	h := k.mix(k.begin, uint64(m.QD))
	for i := range m.Questions[:min(len(m.Questions), maxQuestions)] {
		q := &m.Questions[i]
		h = k.name(h, m.Wire, int(q.Name))
		h = k.mix(h, uint64(q.Type)<<16|uint64(q.Class))
	}
	return h
}

// name hashes the name at the offset o of a message, label by label, in lower case (RFC 4343): so
// it does not matter where pointers part it. decode/wire has checked the name; what it would
// refuse ends early here.
func (k *keys) name(h uint64, b []byte, o int) uint64 {
	for room := maxName; room > 0 && o >= 0 && o < len(b); {
		n := int(b[o])
		switch {
		case n == 0:
			return k.mix(h, 0)
		case n >= pointerBits && o+1 < len(b):
			o = n&^pointerBits<<8 | int(b[o+1])
			room-- // a loop of pointers ends, too
			continue
		case n > maxLabel || o+1+n > len(b):
			return h
		}
		h = k.label(h, b, o, o+1+n)
		o += n + 1
		room -= n + 1
	}
	return h
}

// label hashes the label behind its length from start to end. The length is below 'A', so it needs
// no care.
func (k *keys) label(h uint64, b []byte, start, end int) uint64 {
	for ; end-start >= 8; start += 8 {
		h = k.mix(h, lower(binary.LittleEndian.Uint64(b[start:])))
	}
	if start == end {
		return h
	}
	// The eight bytes up to the end, without those before start. There are eight, but where a
	// pointer leads into the header: then some of the header counts as well.
	at := max(end-8, 0)
	x := binary.LittleEndian.Uint64(b[at:]) >> (8 * uint(start-at))
	return k.mix(h, lower(x))
}

// lower returns eight bytes with the letters A to Z among them in lower case.
func lower(x uint64) uint64 {
	const ones = 0x0101010101010101
	seven := x &^ (0x80 * ones)
	// In bit 7 of each byte: not below 'A', and above 'Z'.
	fromA := seven + (0x80-'A')*ones
	aboveZ := seven + (0x7f-'Z')*ones
	upper := (fromA ^ aboveZ) &^ x & (0x80 * ones)
	return x | upper>>2 // 0x20 is what parts the cases
}
