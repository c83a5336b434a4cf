// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/dnsluice/dnsluice/internal/record"
)

func TestAKeyGoesWhereOtherClientsPutIt(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	others := kgo.StickyKeyPartitioner(nil).ForTopic("dns")
	for n := range 20_000 {
		key := make([]byte, n%300)
		for i := range key {
			key[i] = byte(rng.Uint32())
		}
		partitions := 1 + rng.IntN(1000)
		want := others.Partition(&kgo.Record{Key: key}, partitions)
		if got := record.Partition(key, int32(partitions)); got != int32(want) {
			t.Fatalf("the key %x is in partition %d of %d, want %d", key, got, partitions, want)
		}
	}
}
