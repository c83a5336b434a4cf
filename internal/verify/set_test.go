// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (s *set) allGaps(from, to uint64) (all []Range) {
	s.gaps(from, to, func(r Range) { all = append(all, r) })
	return all
}

func TestASetKnowsWhatItLacks(t *testing.T) {
	seq := func(from, to uint64) (all []uint64) {
		for n := from; n <= to; n++ {
			all = append(all, n)
		}
		return all
	}
	for _, c := range []struct {
		name     string
		add      []uint64
		from, to uint64
		want     []Range
	}{
		{"nothing was added", nil, 1, 5, []Range{{1, 5}}},
		{"nothing is asked for", []uint64{1}, 2, 1, nil},
		{"nothing is missing", seq(1, 5), 1, 5, nil},
		{"a hole in the middle", []uint64{1, 2, 5}, 1, 5, []Range{{3, 4}}},
		{"the first and the last are missing", []uint64{3}, 1, 5, []Range{{1, 2}, {4, 5}}},
		{"in the wrong order", []uint64{5, 3, 1, 4}, 1, 5, []Range{{2, 2}}},
		{"over the border of two blocks", seq(65530, 65540), 65529, 65541, []Range{{65529, 65529}, {65541, 65541}}},
		{"a block of which nothing is there", []uint64{1, 200_000}, 1, 200_000, []Range{{2, 199_999}}},
		{"a window that begins in a run", seq(1, 100), 50, 101, []Range{{101, 101}}},
		{"a window that ends before a run", []uint64{1, 90}, 1, 50, []Range{{2, 50}}},
		{"a full block", seq(65536, 2*65536-1), 65535, 2 * 65536, []Range{{65535, 65535}, {2 * 65536, 2 * 65536}}},
		{"the largest numbers there are", []uint64{math.MaxUint64, math.MaxUint64 - 2},
			math.MaxUint64 - 3, math.MaxUint64, []Range{{math.MaxUint64 - 3, math.MaxUint64 - 3}, {math.MaxUint64 - 1, math.MaxUint64 - 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s set
			for _, n := range c.add {
				if !s.add(n) {
					t.Errorf("%d was there before", n)
				}
				if s.add(n) {
					t.Errorf("%d was not there", n)
				}
			}
			if diff := cmp.Diff(c.want, s.allGaps(c.from, c.to)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestASetAgreesWithAMap adds numbers in random order, so many that blocks become bitmaps and
// bitmaps become full.
func TestASetAgreesWithAMap(t *testing.T) {
	const top = 2*blockSize + 100
	r := rand.New(rand.NewPCG(7, 8))
	var s set
	seen := make([]bool, top)
	order := r.Perm(top)
	for i, n := range order {
		if n := uint64(n); n%50_000 != 7 {
			if s.add(n) != !seen[n] {
				t.Fatalf("%d: new is %v", n, !seen[n])
			}
			seen[n] = true
		}
		if i%40_000 != 0 && i != len(order)-1 {
			continue
		}
		var want []Range
		for n := uint64(0); n < top; n++ {
			switch last := len(want) - 1; {
			case seen[n]:
			case last >= 0 && want[last].Last+1 == n:
				want[last].Last = n
			default:
				want = append(want, Range{n, n})
			}
		}
		if diff := cmp.Diff(want, s.allGaps(0, top-1)); diff != "" {
			t.Fatalf("after %d: %s", i, diff)
		}
		if limit := len(s.blocks) * (blockBytes + bitmapBytes + 2*runBytes); s.bytes < 0 || s.bytes > limit {
			t.Fatalf("after %d it says that it has %d bytes of %d", i, s.bytes, limit)
		}
	}
	if low, high := s.bounds(); low != 0 || high != top-1 {
		t.Errorf("from %d to %d", low, high)
	}
}

func TestASetOfAllNumbersIsSmall(t *testing.T) {
	var s set
	const n = 2_000_000
	// As twelve partitions read one after the other: batches of 2,000.
	for p := range uint64(12) {
		for batch := p; batch*2000 < n; batch += 12 {
			for i := range uint64(2000) {
				s.add(batch*2000 + i)
			}
		}
	}
	if s.bytes > 100*n/blockSize+20_000 {
		t.Errorf("%d bytes for %d numbers", s.bytes, n)
	}
}

func TestAFullBlockTakesNoMoreThanItsPlace(t *testing.T) {
	for name, step := range map[string]uint64{"in order": 1, "as a bitmap in between": 7} {
		var s set
		for i := range uint64(blockSize) {
			s.add(i * step % blockSize) // each once: step has no factor of blockSize
		}
		if s.bytes != blockBytes {
			t.Errorf("%s: %d bytes, want %d", name, s.bytes, blockBytes)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	var s set
	n := uint64(0)
	for b.Loop() {
		n++
		s.add(n)
	}
}
