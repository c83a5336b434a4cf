// SPDX-License-Identifier: Apache-2.0

package match

import "github.com/dnsluice/dnsluice/internal/dnsmsg"

// Counters counts messages and transactions since New. Messages = Left + Held, always: this stage
// drops nothing. Transactions is the sum of Kinds.
type Counters struct {
	Messages uint64 // given to Message
	Left     uint64 // of them, those that left in a transaction
	Held     uint64 // of them, those that wait, retransmissions included

	Transactions uint64                     // emitted, of any kind
	Kinds        [dnsmsg.NumKinds]uint64    // of them, by kind
	Unpaired     [dnsmsg.NumUnpaired]uint64 // of them, those that did not wait or not long enough
	Retransmits  uint64                     // messages that were the same as a query that waits
	Reordered    uint64                     // pairs whose response came before the query
	Reversed     uint64                     // pairs whose response has the earlier time
	Retries      uint64                     // queries over TCP with a link to a truncated answer
}

// Add adds the counters of another lane.
func (c *Counters) Add(o Counters) {
	c.Messages += o.Messages
	c.Left += o.Left
	c.Held += o.Held
	c.Transactions += o.Transactions
	for k, n := range o.Kinds {
		c.Kinds[k] += n
	}
	for u, n := range o.Unpaired {
		c.Unpaired[u] += n
	}
	c.Retransmits += o.Retransmits
	c.Reordered += o.Reordered
	c.Reversed += o.Reversed
	c.Retries += o.Retries
}
