// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/dnsluice/dnsluice/internal/capture"
	"github.com/dnsluice/dnsluice/internal/capture/pcapfile"
	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka/embedded"
	"github.com/dnsluice/dnsluice/internal/deliver/spool"
)

// refuser is a broker that refuses every batch for good.
func refuser(t *testing.T) []string {
	t.Helper()
	b, err := embedded.Start(topic, partitions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	b.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		asked := req.(*kmsg.ProduceRequest)
		answer := asked.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range asked.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.InvalidRecord.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			answer.Topics = append(answer.Topics, rt)
		}
		return answer, nil, true
	})
	return b.Brokers()
}

func TestARunOverFilesThatDropsRecordsFailsAndSaysHowManyAndWhy(t *testing.T) {
	files := own(t, "bind-tcp.pcap")
	n := len(printedRecords(t, files...))
	cfg := settings(files...)
	without := fmt.Sprintf("sensor: %d records were dropped (rejected %d)", n, n)
	if err := build(t, cfg, refuser(t), quiet).Run(t.Context()); err == nil || err.Error() != without {
		t.Errorf("%v, want %s", err, without)
	}
	letters := filepath.Join(t.TempDir(), "dead-letter.jsonl")
	cfg.Deliver.DeadLetter = letters
	with := fmt.Sprintf("%s; %d are in the dead-letter file %s", without, n, letters)
	if err := build(t, cfg, refuser(t), quiet).Run(t.Context()); err == nil || err.Error() != with {
		t.Errorf("%v, want %s", err, with)
	}
}

// What a live run drops was told while it ran: its end, which it was asked for, is no failure.
func TestALiveRunThatDroppedRecordsEndsWell(t *testing.T) {
	src := newGate(pcapfile.New(own(t, "bind-tcp.pcap")[0]), 1000)
	cfg := settings()
	cfg.Sources, cfg.Endless = []capture.Source{src}, true
	s := build(t, cfg, refuser(t), quiet)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	await(t, "the capture is read", src.closed)
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if l := s.Ledger(); l.Dropped == 0 || l.Dropped != l.Records {
		t.Errorf("%+v", l)
	}
}

func TestWhatWasLostOfAnEarlierRunIsSaidAsWell(t *testing.T) {
	err := new(Sensor).dropped(deliver.Counters{ReplayDropped: 3})
	if err == nil || !strings.Contains(err.Error(), "3 records were dropped (of an earlier run 3)") {
		t.Error(err)
	}
}

// A run over files that is told to end before a broker is there has delivered nothing.
func TestARunOverFilesWhoseRecordsWaitOnDiskFailsAndSaysHowMany(t *testing.T) {
	file := own(t, "bind-types.pcap")
	n := len(printedRecords(t, file...))
	where := spool.DefaultConfig()
	where.Dir = t.TempDir()
	disk, err := spool.Open(where, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	src := newGate(pcapfile.New(file[0]), 1000)
	cfg := settings()
	cfg.Sources, cfg.Grace, cfg.Deliver.Spool = []capture.Source{src}, 20*time.Millisecond, disk
	s := build(t, cfg, nobody(t), quiet)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	await(t, "the capture is read", src.closed)
	cancel()
	want := fmt.Sprintf("sensor: %d records were not acknowledged and wait in the spool: "+
		"the next run with it delivers them", n)
	if err := <-ran; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if l := s.Ledger(); !l.Balanced || l.Spooled != uint64(n) {
		t.Errorf("%+v", l)
	}
}
