// SPDX-License-Identifier: Apache-2.0

package match

import "bytes"

// cellSize is what one cell holds. Most queries take one or two.
const cellSize = 64

// none is the number of no cell and no entry.
const none = ^uint32(0)

// cells is memory for the bytes of messages: cells of one size, those of a message linked. The
// bytes of a message may lie anywhere, so memory is never too fragmented for one.
type cells struct {
	data []byte
	next []uint32 // of each cell: the next of its message, or of the free ones
	free uint32   // the first that was used and freed
	used uint32   // how many were ever used: those from there on are free, too
	left int      // how many are free
}

func newCells(n int) cells {
	return cells{data: make([]byte, n*cellSize), next: make([]uint32, n), free: none, left: n}
}

// need returns how many cells n bytes take.
func need(n int) int { return (n + cellSize - 1) / cellSize }

// put stores b, for which there must be enough cells left, and returns its first cell.
func (c *cells) put(b []byte) (first uint32) {
	first = none
	link := &first
	for ; len(b) > 0; b = b[min(len(b), cellSize):] {
		i := c.free
		if i != none {
			c.free = c.next[i]
		} else {
			i = c.used
			c.used++
		}
		c.left--
		copy(c.data[int(i)*cellSize:][:cellSize], b)
		*link = i
		link = &c.next[i]
	}
	*link = none
	return first
}

// get returns the n bytes that begin in the cell first. They are borrowed, from the cell or from
// scratch, which it returns and may have enlarged.
func (c *cells) get(first uint32, n int, scratch []byte) (b, _ []byte) {
	if n <= cellSize && first != none {
		return c.data[int(first)*cellSize:][:n:n], scratch
	}
	scratch = scratch[:0]
	for i := first; i != none; i = c.next[i] {
		cell := c.data[int(i)*cellSize:][:cellSize]
		scratch = append(scratch, cell[:min(n-len(scratch), cellSize)]...)
	}
	return scratch, scratch
}

// holds tells whether the bytes that begin in the cell first begin with b, and are not fewer.
func (c *cells) holds(first uint32, b []byte) bool {
	for i := first; i != none; i = c.next[i] {
		n := min(len(b), cellSize)
		if !bytes.Equal(c.data[int(i)*cellSize:][:n], b[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

// drop frees the cells of a message.
func (c *cells) drop(first uint32) {
	for i := first; i != none; {
		next := c.next[i]
		c.next[i] = c.free
		c.free = i
		c.left++
		i = next
	}
}
