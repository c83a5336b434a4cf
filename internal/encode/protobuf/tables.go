// SPDX-License-Identifier: Apache-2.0

package protobuf

import "github.com/dnsluice/dnsluice/internal/dnsmsg"

// The bytes below are what stands between two values of a record, put together once from the
// tags and the mnemonics.

// text is a length and what it counts, for the words below.
func text(s string) string { return string(appendText(nil, s)) }

// kinds are what a record can be about.
var kinds = func() (table [dnsmsg.NumKinds]piece) {
	for i := range table {
		table[i] = pieceOf(tagKind + text(dnsmsg.Kind(i).String()))
	}
	return table
}()

// opcodes are all there are, with the names of the unknown ones.
var opcodes = func() (table [16]piece) {
	for i := range table {
		table[i] = pieceOf(tagOpcode + text(dnsmsg.OpcodeName(uint8(i))))
	}
	return table
}()

// rcodes are the response codes that have names.
var rcodes = func() (table [24]piece) {
	for i := range table {
		table[i] = pieceOf(tagRcode + text(string(dnsmsg.AppendRcode(nil, uint16(i)))))
	}
	return table
}()

// flags hold the flags in all their combinations, as they stand from bit 4 of the header's second
// word on. The reserved bit is among them and not shown.
var flags = func() (table [128]piece) {
	for i := range table {
		set := ""
		for _, f := range []struct {
			flag uint16
			tag  string
		}{
			{dnsmsg.FlagAA, tagAa}, {dnsmsg.FlagTC, tagTc}, {dnsmsg.FlagRD, tagRd},
			{dnsmsg.FlagRA, tagRa}, {dnsmsg.FlagAD, tagAd}, {dnsmsg.FlagCD, tagCd},
		} {
			if uint16(i)<<4&f.flag != 0 {
				set += f.tag + yes
			}
		}
		table[i] = pieceOf(set)
	}
	return table
}()

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
