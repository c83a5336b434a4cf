// SPDX-License-Identifier: Apache-2.0

package protobuf

import "github.com/dnsluice/dnsluice/internal/dnsmsg"

// The bytes below are what stands between two values of a record, put together once from the
// tags and the mnemonics.

// text is a length and what it counts, for the words below.
func text(s string) string { return string(appendText(nil, s)) }

// sectionTags are the tags of records.
type sectionTags [dnsmsg.Additional + 1]piece

var sections, querySections = sectionTags{
	dnsmsg.Answer:     pieceOf(tagAnswers + empty + tagRrName),
	dnsmsg.Authority:  pieceOf(tagAuthority + empty + tagRrName),
	dnsmsg.Additional: pieceOf(tagAdditional + empty + tagRrName),
}, sectionTags{
	dnsmsg.Answer:     pieceOf(tagQueryAnswers + empty + tagRrName),
	dnsmsg.Authority:  pieceOf(tagQueryAuthority + empty + tagRrName),
	dnsmsg.Additional: pieceOf(tagQueryAdditional + empty + tagRrName),
}

// typeTable has a piece for each type that has a name, but for TA and DLV, which stand far away.
type typeTable [dnsmsg.TypeIPN + 1]piece

// The types with class IN: they lead from the owner of a record to its TTL, and from the name of
// the question to what follows its class.
var (
	rrTypes       = typesWith(tagRrType, tagRrClass+text("IN")+tagRrTtl)
	questionTypes = typesWith(tagQtype, tagQclass+text("IN"))
)

func typesWith(tag, after string) *typeTable {
	table := new(typeTable)
	for i := range table {
		if name := dnsmsg.TypeName(uint16(i)); name != "" {
			table[i] = pieceOf(tag + text(name) + after)
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
