// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
)

// patience is how long the demo waits for a record that does not come.
const patience = 10 * time.Second

// shownRecords is how many of the newest records are kept to be shown.
const shownRecords = 8

// shown is the part of a record that the demo reads back.
type shown struct {
	Lane      int    `json:"lane"`
	Seq       uint64 `json:"seq"`
	Time      string `json:"ts"`
	Kind      string `json:"kind"`
	Client    string `json:"client_ip"`
	Server    string `json:"server_ip"`
	Transport string `json:"transport"`
	Rcode     string `json:"rcode"`
	Name      string `json:"qname"`
	Type      string `json:"qtype"`
	Answers   []struct {
		Data string `json:"data"`
	} `json:"answers"`
}

// readBack consumes the topic and keeps account of each record by lane and number.
type readBack struct {
	reader *kafka.Reader
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex // guards the following
	seen   map[id]struct{}
	twice  uint64
	bad    error // the first record that could not be read
	bytes  uint64
	newest []shown
}

type id struct {
	lane int
	seq  uint64
}

func startReadBack(brokers []string, topic string) (*readBack, error) {
	reader, err := kafka.NewReader(brokers, topic)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &readBack{reader: reader, cancel: cancel, done: make(chan struct{}), seen: map[id]struct{}{}}
	go b.run(ctx)
	return b, nil
}

func (b *readBack) run(ctx context.Context) {
	defer close(b.done)
	for {
		records, err := b.reader.Read(ctx)
		if err != nil {
			return
		}
		b.mu.Lock()
		for _, r := range records {
			b.take(r)
		}
		b.mu.Unlock()
	}
}

// take accounts for one record. b.mu is held.
func (b *readBack) take(r kafka.Record) {
	var s shown
	if err := json.Unmarshal(r.Value, &s); err != nil && b.bad == nil {
		b.bad = fmt.Errorf("partition %d, offset %d: not a record: %w", r.Partition, r.Offset, err)
	}
	at := id{s.Lane, s.Seq}
	if _, known := b.seen[at]; known {
		b.twice++
	}
	b.seen[at] = struct{}{}
	b.bytes += uint64(len(r.Value))
	if s.Kind == "heartbeat" {
		return // it would push what people came to see off the screen
	}
	b.newest = append(b.newest, s)
	if extra := len(b.newest) - shownRecords; extra > 0 {
		b.newest = b.newest[extra:]
	}
}

// comparison is what was acknowledged beside what came back.
type comparison struct {
	acknowledged, readBack, twice uint64
	bad                           error
}

func (c comparison) err() error {
	switch {
	case c.bad != nil:
		return c.bad
	case c.readBack != c.acknowledged || c.twice > 0:
		return fmt.Errorf("%d records were acknowledged, %d came back, %d of them more than once",
			c.acknowledged, c.readBack, c.twice)
	case c.acknowledged == 0:
		return fmt.Errorf("no record was delivered: there was no DNS to see")
	}
	return nil
}

// waitFor waits until so many records are back, or none has come for a while.
func (b *readBack) waitFor(acknowledged uint64) comparison {
	progress, before := time.Now(), uint64(0)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c := b.compare(acknowledged)
		if c.readBack != before {
			progress, before = time.Now(), c.readBack
		}
		if c.readBack >= acknowledged || time.Since(progress) > patience {
			return c
		}
		<-tick.C
	}
}

func (b *readBack) compare(acknowledged uint64) comparison {
	b.mu.Lock()
	defer b.mu.Unlock()
	return comparison{acknowledged, uint64(len(b.seen)), b.twice, b.bad}
}

func (b *readBack) latest() ([]shown, uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]shown(nil), b.newest...), uint64(len(b.seen))
}

func (b *readBack) stop() {
	b.cancel()
	<-b.done
	b.reader.Close()
}
