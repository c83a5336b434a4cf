// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"
	"strings"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

// sizes are the bounds of the three queues of confluent-kafka-go, in messages.
type sizes struct{ channel, queue, reports int }

// original are the bounds that a program has that says nothing about them.
var original = sizes{channel: 1_000_000, queue: 100_000, reports: 1_000_000}

// event is what the program of the incident wrote of a packet.
type event struct {
	Time     float64 `json:"time"`
	Source   string  `json:"source"`
	Port     uint16  `json:"port"`
	Target   string  `json:"target"`
	ID       uint16  `json:"id"`
	Flags    uint16  `json:"flags"`
	Name     string  `json:"name"`
	Type     uint16  `json:"type"`
	Answers  uint16  `json:"answers"`
	Size     int     `json:"size"`
	Response bool    `json:"response"`
}

// sniff is the program of the incident, written from its description: it captures (here: reads a
// capture from in), produces to Kafka through confluent-kafka-go, and looks at the result of the
// first message to see whether it works. It does. Nobody reads the results after it.
//
// When the channel of the results is full, the client's own loop waits for a reader of it; then
// its queue fills up; then the channel of messages; and then the capture waits.
func sniff(brokers, topic string, limits sizes, in io.Reader) error {
	p, err := kafka.NewProducer(&kafka.ConfigMap{
		"bootstrap.servers":            brokers,
		"go.produce.channel.size":      limits.channel,
		"queue.buffering.max.messages": limits.queue,
		"go.events.channel.size":       limits.reports,
		"enable.metrics.push":          false, // it only writes a line to the log
	})
	if err != nil {
		return err
	}
	go func() {
		if m, ok := (<-p.Events()).(*kafka.Message); ok { // the mistake: once
			log.Printf("delivered: %v", m.TopicPartition)
		}
	}()
	packets := bufio.NewReader(in)
	if _, err := packets.Discard(24); err != nil {
		return err
	}
	for {
		at, frame, err := nextPacket(packets)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		e, ok := parse(at, frame)
		if !ok {
			continue
		}
		value, err := json.Marshal(e)
		if err != nil {
			return err
		}
		//lint:ignore SA1019 the program of the incident produced by it
		p.ProduceChannel() <- &kafka.Message{
			TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: kafka.PartitionAny},
			Value:          value,
		}
	}
	p.Flush(15_000)
	p.Close()
	return nil
}

func nextPacket(r io.Reader) (at float64, frame []byte, err error) {
	var h [16]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(h[8:])
	if n > 65535 {
		return 0, nil, fmt.Errorf("a packet of %d bytes", n)
	}
	frame = make([]byte, n)
	_, err = io.ReadFull(r, frame)
	at = float64(binary.LittleEndian.Uint32(h[:])) + float64(binary.LittleEndian.Uint32(h[4:]))/1e6
	return at, frame, err
}

// parse reads what it needs of the frames that this program makes.
func parse(at float64, f []byte) (event, bool) {
	const ip, udp, dns = 14, 34, 42
	if len(f) < dns+12 || f[12] != 8 || f[13] != 0 || f[ip] != 0x45 || f[ip+9] != 17 {
		return event{}, false
	}
	m := f[dns:]
	e := event{
		Time:    at,
		Source:  netip.AddrFrom4([4]byte(f[ip+12 : ip+16])).String(),
		Target:  netip.AddrFrom4([4]byte(f[ip+16 : ip+20])).String(),
		Port:    binary.BigEndian.Uint16(f[udp:]),
		ID:      binary.BigEndian.Uint16(m),
		Flags:   binary.BigEndian.Uint16(m[2:]),
		Answers: binary.BigEndian.Uint16(m[6:]),
		Size:    len(m),
	}
	e.Response = e.Flags&0x8000 != 0
	var labels []string
	at0 := 12
	for at0 < len(m) && m[at0] != 0 {
		end := at0 + 1 + int(m[at0])
		if end > len(m) {
			return event{}, false
		}
		labels = append(labels, string(m[at0+1:end]))
		at0 = end
	}
	if at0+3 > len(m) {
		return event{}, false
	}
	e.Name, e.Type = strings.Join(labels, "."), binary.BigEndian.Uint16(m[at0+1:])
	return e, true
}
