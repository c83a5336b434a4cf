// SPDX-License-Identifier: Apache-2.0

package json

import "github.com/dnsluice/dnsluice/internal/dnsmsg"

// The texts below are what stands between two values of a record, put together once from the
// keys and the mnemonics.

// kinds lead from the digits of the time to the client's address.
var kinds = func() (table [dnsmsg.NumKinds]piece) {
	for i := range table {
		table[i] = pieceOf(`Z"` + keyKind + `"` + dnsmsg.Kind(i).String() + `"` + keyClientIp + `"`)
	}
	return table
}()

// sectionPieces lead into the first record of a section.
type sectionPieces [dnsmsg.Additional + 1]piece

var sectionStarts, querySectionStarts = sectionPieces{
	dnsmsg.Answer:     pieceOf(keyAnswers + `[{` + keyRrName + `"`),
	dnsmsg.Authority:  pieceOf(keyAuthority + `[{` + keyRrName + `"`),
	dnsmsg.Additional: pieceOf(keyAdditional + `[{` + keyRrName + `"`),
}, sectionPieces{
	dnsmsg.Answer:     pieceOf(keyQueryAnswers + `[{` + keyRrName + `"`),
	dnsmsg.Authority:  pieceOf(keyQueryAuthority + `[{` + keyRrName + `"`),
	dnsmsg.Additional: pieceOf(keyQueryAdditional + `[{` + keyRrName + `"`),
}

// typeTable has a piece for each type that has a name, but for TA and DLV, which stand far away.
type typeTable [dnsmsg.TypeIPN + 1]piece

// The types with class IN: they lead from the owner of a record to its TTL, and from the name of
// the question to what follows its class.
var (
	rrTypes       = typesBetween(`"`+keyRrType, keyRrClass+`"IN"`+keyRrTtl)
	questionTypes = typesBetween(`"`+keyQtype, keyQclass+`"IN"`)
)

func typesBetween(before, after string) *typeTable {
	table := new(typeTable)
	for i := range table {
		if name := dnsmsg.TypeName(uint16(i)); name != "" {
			table[i] = pieceOf(before + `"` + name + `"` + after)
		}
	}
	return table
}

// of returns the piece for a type and class, or nil when there is none.
func (table *typeTable) of(rrtype, class uint16) *piece {
	if class == dnsmsg.ClassIN && int(rrtype) < len(table) && table[rrtype].n > 0 {
		return &table[rrtype]
	}
	return nil
}

// ednsPieces lead to the UDP size of EDNS version 0, and to the number of any version.
type ednsPieces struct{ version0, version piece }

var ednsStart, queryEDNSStart = ednsPiecesOf(keyEdns), ednsPiecesOf(keyQueryEdns)

func ednsPiecesOf(key string) ednsPieces {
	version := key + `{` + keyEdnsVersion
	return ednsPieces{pieceOf(version + `0` + keyEdnsUdpSize), pieceOf(version)}
}
