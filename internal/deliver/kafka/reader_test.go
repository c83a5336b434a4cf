// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

func TestAReaderWaitsUntilItsContextEnds(t *testing.T) {
	k, _ := newCluster(t, 1, kfake.SeedTopics(1, topic))
	r, err := NewReader(k.ListenAddrs(), topic)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if records, err := r.Read(ctx); !errors.Is(err, context.DeadlineExceeded) || records != nil {
		t.Errorf("%v, %v", records, err)
	}
	r.Close()
	if _, err := r.Read(t.Context()); err == nil {
		t.Error("a closed reader reads")
	}
}
