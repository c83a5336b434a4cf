// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// where records go.
type sink string

const (
	toFile     sink = "JSON in a file"
	toEmbedded sink = "an embedded broker (kfake)"
	toKafka    sink = "Kafka"
)

// job is what one run of one sensor is given.
type job struct {
	capture string
	dir     string // for this run alone: configuration, log, and the records of a file sink
	broker  string // host:port
	topic   string
}

// records is the folder that a file sink writes into, and nothing else does.
func (j job) records() string { return filepath.Join(j.dir, "records") }

// sensor is one program in one setting.
type sensor struct {
	program string // the name that versions are listed under
	setting string
	binary  string
	file    bool // writes a file, else to Kafka
	// measure marks what the others are divided by, at most one of each name.
	measure string
	// prints tells that the records are its standard output.
	prints bool
	// broker is the only address it can send to, or "".
	broker string
	args   func(job) []string
	// prepare writes what it needs beyond arguments, by default nothing, and returns that as text
	// for the report.
	prepare func(job) (string, error)
}

func (s sensor) name() string { return s.program + ", " + s.setting }

// binaries are the programs to compare; an empty path leaves one out.
type binaries struct {
	dnsluice, dnsmonster, collector, sketch string
}

// sensors returns every setting of every program that is there.
func (b binaries) sensors() []sensor {
	var all []sensor
	add := func(binary string, more ...sensor) {
		for _, s := range more {
			if s.binary = binary; binary != "" {
				all = append(all, s)
			}
		}
	}
	add(b.dnsluice, luice("json"), luice("protobuf"), luiceFile())
	add(b.dnsmonster, monster("none"), monster("snappy"), monsterFile())
	add(b.collector, collector("none"), collector("snappy"), collectorFile())
	add(b.sketch, sketch("json", "JSON"), sketch("pb", "Protobuf"))
	return all
}

func luice(format string) sensor {
	name := map[string]string{"json": "JSON", "protobuf": "Protobuf"}[format]
	return sensor{program: "dnsluice", setting: name + " snappy", measure: "dnsluice " + name,
		args: func(j job) []string {
			return []string{"run", "--read", j.capture, "--brokers", j.broker, "--topic", j.topic,
				"--format", format, "--http", "off"}
		}}
}

func luiceFile() sensor {
	return sensor{program: "dnsluice", setting: "JSON", measure: "dnsluice JSON", file: true,
		prints: true,
		args:   func(j job) []string { return []string{"read", j.capture} }}
}

// monster is dnsmonster with its defaults for everything but the compression.
func monster(compression string) sensor {
	return sensor{program: "dnsmonster", setting: "JSON " + compression,
		args: func(j job) []string {
			args := []string{"--pcapfile", j.capture, "--kafkaoutputtype", "1",
				"--kafkaoutputbroker", j.broker, "--kafkaoutputtopic", j.topic}
			if compression != "none" {
				args = append(args, "--kafkacompress", "--kafkacompressiontype", compression)
			}
			return args
		}}
}

func monsterFile() sensor {
	return sensor{program: "dnsmonster", setting: "JSON", file: true,
		args: func(j job) []string {
			return []string{"--pcapfile", j.capture, "--fileoutputtype", "1",
				"--fileoutputpath", j.records()}
		}}
}

// collectorInput names the capture's folder: DNS-collector reads all captures of a folder.
const collectorInput = `global:
  trace:
    verbose: false
pipelines:
  - name: capture
    file-ingestor:
      watch-dir: %s
      watch-mode: pcap
    routing-policy:
      forward: [ out ]
  - name: out
`

// collector is DNS-collector with batches of 500 instead of 100, with which it loses far less, and
// a flush each second, so that its last batch is not taken for lost.
func collector(compression string) sensor {
	const output = `    kafkaproducer:
      remote-address: %s
      remote-port: %s
      topic: %s
      mode: json
      buffer-size: 500
      flush-interval: 1
      compression: %s
`
	return collectorWith("JSON "+compression, false, func(j job) (string, error) {
		host, port, err := net.SplitHostPort(j.broker)
		return fmt.Sprintf(output, host, port, j.topic, compression), err
	})
}

func collectorFile() sensor {
	const output = `    logfile:
      file-path: %s/records.json
      mode: json
      max-size: 1000000
      flush-interval: 1
`
	return collectorWith("JSON", true, func(j job) (string, error) {
		return fmt.Sprintf(output, j.records()), nil
	})
}

func collectorWith(setting string, file bool, output func(job) (string, error)) sensor {
	config := func(j job) string { return filepath.Join(j.dir, "config.yml") }
	return sensor{program: "DNS-collector", setting: setting, file: file,
		args: func(j job) []string { return []string{"-config", config(j)} },
		prepare: func(j job) (string, error) {
			out, err := output(j)
			if err != nil {
				return "", fmt.Errorf("configuration of DNS-collector: %w", err)
			}
			input := filepath.Join(j.dir, "captures")
			if err := os.Mkdir(input, 0o700); err != nil {
				return "", fmt.Errorf("input of DNS-collector: %w", err)
			}
			if err := os.Symlink(j.capture, filepath.Join(input, "capture.pcap")); err != nil {
				return "", fmt.Errorf("input of DNS-collector: %w", err)
			}
			text := fmt.Sprintf(collectorInput, input) + out
			if err := os.WriteFile(config(j), []byte(text), 0o600); err != nil {
				return "", fmt.Errorf("configuration of DNS-collector: %w", err)
			}
			return text, nil
		}}
}

// sketchBroker is the address built into the yardstick.
const sketchBroker = "127.0.0.1:19092"

// sketch is the yardstick: the least work that does the job, with none of what makes a sensor one.
func sketch(encoding, name string) sensor {
	return sensor{program: "sketch", setting: name + " snappy", broker: sketchBroker,
		args: func(j job) []string {
			return []string{"-f", j.capture, "-enc", encoding, "-comp", "snappy", "-topic", j.topic}
		}}
}
