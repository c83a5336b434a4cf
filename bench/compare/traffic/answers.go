// SPDX-License-Identifier: Apache-2.0

package traffic

import "strings"

// ttls are those that operators choose, in seconds.
var ttls = []uint32{5, 20, 30, 60, 60, 60, 300, 300, 300, 600, 3600, 3600, 14_400, 86_400, 172_800}

// maxRecords keeps the largest response, all of its records signed by RSA, within one segment.
const maxRecords = 8

func (g *generator) response(q asked) []byte {
	g.m.Responses++
	flags := flagQR | flagRD | flagRA
	zone := zoneOf(q.name)
	signed := q.edns.do && g.chance(500)
	if signed {
		flags |= flagAD
	}
	switch {
	case g.chance(shareServFail):
		g.msg.begin(q.id, flags&^flagAD|rcodeServFail)
		g.msg.question(q.name, q.qtype)
	case g.chance(shareNXDomain):
		g.m.NXDomain++
		g.msg.begin(q.id, flags|rcodeNXDomain)
		g.msg.question(q.name, q.qtype)
		g.negative(zone, signed)
	case g.empty(q.qtype):
		g.msg.begin(q.id, flags)
		g.msg.question(q.name, q.qtype)
		g.negative(zone, signed)
	default:
		g.msg.begin(q.id, flags)
		g.msg.question(q.name, q.qtype)
		g.answer(q, zone, signed)
	}
	return g.finish(q, true)
}

// empty tells whether a name that exists has no such record: common for AAAA and HTTPS.
func (g *generator) empty(qtype int) bool {
	switch qtype {
	case typeAAAA:
		return g.chance(400)
	case typeHTTPS:
		return g.chance(600)
	default:
		return g.chance(20)
	}
}

// zoneOf returns the zone that answers for a name, roughly: its last two or three labels.
func zoneOf(name string) string {
	labels := strings.Split(name, ".")
	keep := 2
	if last := len(labels); last > 2 && len(labels[last-2]) <= 3 {
		keep = 3
	}
	return strings.Join(labels[max(0, len(labels)-keep):], ".")
}

func (g *generator) negative(zone string, signed bool) {
	g.msg.soa(zone, g.r)
	if signed {
		g.msg.rrsig(countAuthority, zone, typeSOA, 900, g.r)
	}
}

func (g *generator) answer(q asked, zone string, signed bool) {
	name, ttl := q.name, pick(g.r, ttls)
	if (q.qtype == typeA || q.qtype == typeAAAA || q.qtype == typeHTTPS) && g.chance(shareAlias) {
		g.m.Aliases++
		for range 1 + g.r.IntN(3) {
			next := g.names.node() + "." + pick(g.r, hosts) + "." + g.names.domain(g.r.Uint64N(50))
			g.msg.record(countAnswers, name, typeCNAME, ttl, func() { g.msg.name(next) })
			name = next
		}
	}
	for range g.records(q.qtype) {
		g.msg.record(countAnswers, name, q.qtype, ttl, func() { g.data(q.qtype, zone) })
	}
	if signed {
		g.msg.rrsig(countAnswers, name, q.qtype, ttl, g.r)
	}
	if q.qtype == typeNS {
		g.glue(zone)
	}
}

// records returns how many there are of a type in one answer.
func (g *generator) records(qtype int) int {
	switch qtype {
	case typeA, typeAAAA:
		return min(1+int(g.r.ExpFloat64()*1.5), maxRecords)
	case typeMX, typeNS, typeTXT:
		return 1 + g.r.IntN(4)
	case typeDNSKEY, typeDS, typeSRV:
		return 1 + g.r.IntN(2)
	default:
		return 1
	}
}

func (g *generator) glue(zone string) {
	for _, host := range []string{"ns1.", "ns2."} {
		g.msg.record(countAR, host+zone, typeA, 172_800, func() { g.msg.random(4, g.r) })
	}
}

// data writes the data of one record.
func (g *generator) data(rrtype int, zone string) {
	m := g.msg
	switch rrtype {
	case typeA:
		m.random(4, g.r)
	case typeAAAA:
		m.b = append(m.b, 0x26, 0x06, 0x47, 0)
		m.random(12, g.r)
	case typePTR:
		m.name(g.names.node() + "." + g.names.popularDomain())
	case typeNS:
		m.name(pick(g.r, []string{"ns1.", "ns2.", "ns3."}) + zone)
	case typeMX:
		m.u16(10 * (1 + g.r.IntN(3)))
		m.name(pick(g.r, []string{"mx1.", "mx2.", "mail."}) + zone)
	case typeTXT:
		text := "v=spf1 include:_spf." + zone + " ip4:203.0.113.0/24 -all"
		m.b = append(append(m.b, byte(len(text))), text...)
	case typeSRV:
		m.u16(0)
		m.u16(100)
		m.u16(5060)
		m.plainName("sip." + zone)
	case typeSOA:
		m.name("ns1." + zone)
		m.name("hostmaster." + zone)
		m.random(20, g.r)
	case typeDS: // key tag, algorithm, SHA-256
		m.random(2, g.r)
		m.b = append(m.b, 13, 2)
		m.random(32, g.r)
	case typeDNSKEY: // zone key, protocol 3, RSA of 2048 bits
		m.b = append(m.b, 1, byte(g.r.IntN(2)), 3, 8)
		m.random(260, g.r)
	case typeHTTPS: // RFC 9460: priority 1, target ".", alpn h3 and h2, two IPv4 hints
		m.b = append(m.b, 0, 1, 0, 0, 1, 0, 6, 2, 'h', '3', 2, 'h', '2', 0, 4, 0, 8)
		m.random(8, g.r)
	}
}
