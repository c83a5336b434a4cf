// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dnsluice/dnsluice/bench/compare/broker"
)

// partitions of each topic of a comparison: enough for a sensor to send in parallel.
const partitions = 4

// field is the sensors that write into one sink, over all rounds.
type field struct {
	sink     sink
	sensors  []sensor
	results  [][]result // by sensor, then round
	messages int        // in the capture
}

// contest runs the sensors of a field in turns.
type contest struct {
	capture  string
	messages int
	dir      string
	rounds   int
	limits   limits
	progress io.Writer

	partitions int32 // of each topic
}

// hold runs every sensor of a sink once a round.
func (c contest) hold(ctx context.Context, to sink, sensors []sensor, address string) (field, error) {
	f := field{sink: to, messages: c.messages, results: make([][]result, len(sensors))}
	f.sensors = sensors
	for round := range c.rounds {
		for _, i := range turn(round, len(sensors)) {
			r, err := c.one(ctx, sensors[i], address)
			if err != nil {
				return field{}, fmt.Errorf("%s to %s: %w", sensors[i].name(), to, err)
			}
			if r.note != "" && sensors[i].measure != "" {
				// What the others are divided by must be sound.
				return field{}, fmt.Errorf("%s to %s: %s", sensors[i].name(), to, r.note)
			}
			fmt.Fprintf(c.progress, "%s, round %d of %d: %s: %d of %d arrived, %.2f CPU s, %.1f s%s\n",
				to, round+1, c.rounds, sensors[i].name(), r.arrived, c.messages,
				r.usage.cpu.Seconds(), r.wall.Seconds(), prefixed("; ", r.note))
			f.results[i] = append(f.results[i], r)
		}
	}
	return f, nil
}

// turn returns the order of a round. Each second goes the other way, so that what one leaves behind
// (a warm cache, a hot processor) is not always the same one's luck.
func turn(round, sensors int) []int {
	order := make([]int, sensors)
	for i := range order {
		order[i] = i
	}
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// one runs one sensor in a folder, and into a topic, of its own.
func (c contest) one(ctx context.Context, s sensor, address string) (r result, err error) {
	err = inFolder(c.dir, func(dir string) (err error) {
		j := job{capture: c.capture, dir: dir, broker: address, topic: filepath.Base(dir)}
		if s.file {
			r, err = run(ctx, s, j, arrivals{
				progress: func(context.Context) (int64, error) { return size(j.records()) },
				records:  func(context.Context) (int64, error) { return lines(j.records()) },
			}, c.limits)
			return err
		}
		return intoTopic(ctx, j, c.partitions, func(count count) error {
			r, err = run(ctx, s, j, arrivals{progress: count, records: count}, c.limits)
			return err
		})
	})
	return r, err
}

// inFolder gives a run a folder of its own, which is gone afterwards.
func inFolder(parent string, do func(dir string) error) (err error) {
	dir, err := os.MkdirTemp(parent, "run-")
	if err != nil {
		return fmt.Errorf("folder of a run: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return do(dir)
}

// count returns how many records have arrived.
type count func(context.Context) (int64, error)

// intoTopic gives a run its topic, which is gone afterwards, and what counts there.
func intoTopic(ctx context.Context, j job, partitions int32, do func(count) error) error {
	topics, err := broker.Open(ctx, j.broker)
	if err != nil {
		return err
	}
	defer topics.Close()
	if err := topics.Create(ctx, j.topic, partitions); err != nil {
		return err
	}
	err = do(func(ctx context.Context) (int64, error) { return topics.Count(ctx, j.topic, partitions) })
	// Also after an interrupt: a real Kafka would keep the records for days.
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, topics.Delete(undo, j.topic))
}
