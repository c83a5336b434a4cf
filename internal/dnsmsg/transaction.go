// SPDX-License-Identifier: Apache-2.0

package dnsmsg

// Kind is what a transaction is made of. The set is closed and small, so that a kind indexes an
// array of counters.
type Kind uint8

// The kinds.
const (
	KindQuery       Kind = iota // a query whose response was not waited for: see Unpaired
	KindResponse                // a response without its query
	KindTransaction             // a query and its response
	KindUnanswered              // a query without a response until its timeout, and never before
	KindMalformed               // a message with a Fault; a response may have its query with it
	NumKinds                    // how many there are; not a kind
)

var kindNames = [NumKinds]string{
	KindQuery:       "query",
	KindResponse:    "response",
	KindTransaction: "transaction",
	KindUnanswered:  "unanswered",
	KindMalformed:   "malformed",
}

// String returns the word that records, metrics and the ledger use.
func (k Kind) String() string { return kindNames[k] }

// Unpaired is why a message stands alone although no timeout has passed. The set is closed and
// small, so that it indexes an array of counters.
type Unpaired uint8

// The reasons. Multicast may apply to a response; the others are about queries.
const (
	Paired      Unpaired = iota // not alone, or alone after its time
	Multicast                   // sent to a group, so that anyone may answer, or none
	Full                        // memory was needed for a newer one
	Crowded                     // too many newer ones with its addresses, ports and id
	End                         // the run ended before the timeout
	NumUnpaired                 // how many there are; not a reason
)

var unpairedNames = [NumUnpaired]string{
	Paired:    "paired",
	Multicast: "multicast",
	Full:      "full",
	Crowded:   "crowded",
	End:       "end",
}

// String returns the word that records, metrics and the ledger use.
func (u Unpaired) String() string { return unpairedNames[u] }

// Retry is the truncated answer over UDP after which a client asked again over TCP (RFC 7766,
// section 5).
type Retry struct {
	ID    uint16 // of that answer
	Port  uint16 // of the client then
	After int64  // nanoseconds from that answer to the query over TCP, at least 1; 0: no retry
}

// Transaction is a query with its response, or one of them alone. Everything in it is borrowed
// until the function that it was given to returns.
type Transaction struct {
	Kind     Kind
	Unpaired Unpaired

	// One of them may be nil, never both.
	Query, Response *Message

	Latency     int64  // nanoseconds from the first packet of Query to Response; never negative
	Reversed    bool   // Response has an earlier time than Query, and Latency is 0
	Retransmits uint32 // identical queries between the two, which left with this one

	Retry Retry
}

// Main returns the message that a record of the transaction describes: the response, or the
// query when there is none.
func (t *Transaction) Main() *Message {
	if t.Response != nil {
		return t.Response
	}
	return t.Query
}

// Asked returns the message that has the question: the main one, or the query when the response
// leaves it out.
func (t *Transaction) Asked() *Message {
	if m := t.Main(); t.Query == nil || len(m.Questions) > 0 {
		return m
	}
	return t.Query
}

// Messages returns how many messages are in the transaction.
func (t *Transaction) Messages() uint64 {
	n := uint64(t.Retransmits)
	if t.Query != nil {
		n++
	}
	if t.Response != nil {
		n++
	}
	return n
}
