// SPDX-License-Identifier: Apache-2.0

package record

import (
	"context"
	"sync"
)

// Pool is the memory of the path after encode: a fixed number of arenas, each holding one
// batch. That number times ArenaSize is the bound; there is no other queue of bytes. It is safe
// for concurrent use.
//
// Arenas are handed out last in, first out, and made when first needed, so that a sensor that
// keeps up touches only the few it cycles through.
type Pool struct {
	limit  int
	arena  int
	tokens chan struct{} // one for each batch that may be taken

	mu   sync.Mutex // guards the following
	free []*Batch

	// Poison makes Put overwrite the arena, so that a test sees who still reads it.
	Poison bool
}

// ArenaSize returns the bytes that a batch of at most limit bytes of records occupies: what
// the worst outcome of compressing it needs.
func ArenaSize(limit int) int { return HeaderLen + snappyRoom(limit) }

// NewPool returns a pool of n batches of at most limit bytes of records before compression.
func NewPool(n, limit int) *Pool {
	p := &Pool{limit: limit, arena: ArenaSize(limit), tokens: make(chan struct{}, n)}
	for range n {
		p.tokens <- struct{}{}
	}
	return p
}

// Batches returns how many batches the pool has in all.
func (p *Pool) Batches() int { return cap(p.tokens) }

// Free returns how many batches can be taken now.
func (p *Pool) Free() int { return len(p.tokens) }

// TryGet returns an empty batch, or nil when all are in use.
func (p *Pool) TryGet() *Batch {
	select {
	case <-p.tokens:
		return p.take()
	default:
		return nil // the caller counts what it cannot place
	}
}

// Get returns an empty batch and waits for one. It returns the context's error when that ends first.
func (p *Pool) Get(ctx context.Context) (*Batch, error) {
	select {
	case <-p.tokens:
		return p.take(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *Pool) take() *Batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b
	}
	return newBatch(p.limit, p.arena)
}

// Put takes a batch back. The caller must not touch it or its bytes any more. One that shares its
// arena with others makes it free when it is the last of them.
func (p *Pool) Put(b *Batch) {
	if !b.rejoin() {
		return
	}
	p.Reset(b)
	p.mu.Lock()
	p.free = append(p.free, b)
	p.mu.Unlock()
	p.tokens <- struct{}{}
}

// Reset empties a batch of the pool, which its owner keeps.
func (p *Pool) Reset(b *Batch) {
	if p.Poison {
		arena := b.whole()
		arena[0] = 0xdb
		for n := 1; n < len(arena); n *= 2 { // by copying, which the race detector makes cheap
			copy(arena[n:], arena[:n])
		}
	}
	if cap(b.whole()) != p.arena { // Load needed more
		b.buf, b.arena = make([]byte, HeaderLen, p.arena), nil
	}
	b.reset()
}
