// SPDX-License-Identifier: Apache-2.0

//go:build drills

package drills

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
)

// sent is what of a record in the topic says which it is.
type sent struct {
	Kind     string
	Sensor   string
	Run      string
	Lane     int
	Seq      uint64
	QName    string
	ClientIP string    `json:"client_ip"`
	TS       time.Time // of the query
	kafka    int64     // time stamp, ms
}

// identity names a record.
type identity struct {
	run  string
	lane int
	seq  uint64
}

// readBack returns all that the topic of a cluster holds.
func readBack(t testing.TB, c *kfake.Cluster, topic string, brokers []string) []sent {
	t.Helper()
	stored := int64(0)
	for _, p := range c.PartitionInfos(topic) {
		stored += p.HighWatermark
	}
	if stored == 0 {
		return nil
	}
	reader, err := kafka.NewReader(brokers, topic)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	all := make([]sent, 0, stored)
	for int64(len(all)) < stored {
		records, err := reader.Read(ctx)
		if err != nil {
			t.Fatalf("%d records of %d came back: %v", len(all), stored, err)
		}
		for _, r := range records {
			s := sent{kafka: r.Time}
			if err := json.Unmarshal(r.Value, &s); err != nil {
				t.Fatalf("partition %d, offset %d: %v: %s", r.Partition, r.Offset, err, r.Value)
			}
			all = append(all, s)
		}
	}
	return all
}

// found is what the topic holds of the queries that were sent.
type found struct {
	seen       map[string][]bool // by client, by number
	there      uint64            // queries that are there
	duplicated uint64            // records that are there again
	beats      int               // heartbeats
}

// judge compares the topic with what was sent: how many queries each client asked. It fails the
// test for a record that none of them caused, and for a query that is there under two identities.
func judge(t testing.TB, records []sent, asked map[string]uint64) found {
	t.Helper()
	f := found{seen: map[string][]bool{}}
	names := map[string][]identity{}
	for client, n := range asked {
		f.seen[client], names[client] = make([]bool, n), make([]identity, n)
	}
	wrong := 0
	complain := func(format string, args ...any) {
		if wrong++; wrong <= 5 {
			t.Errorf(format, args...)
		}
	}
	for _, r := range records {
		if r.Kind == "heartbeat" {
			f.beats++
			continue
		}
		n, err := numberOf(r.QName)
		if err != nil || r.Kind != "query" || n >= asked[r.ClientIP] {
			complain("a foreign record: %+v: %v", r, err)
			continue
		}
		id := identity{r.Run, r.Lane, r.Seq}
		switch {
		case !f.seen[r.ClientIP][n]:
			f.seen[r.ClientIP][n], names[r.ClientIP][n] = true, id
			f.there++
		case names[r.ClientIP][n] != id:
			complain("query %d of %s is there as %+v and as %+v", n, r.ClientIP,
				names[r.ClientIP][n], id)
		default:
			f.duplicated++
		}
	}
	return f
}
