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
	device  string // to capture on instead of the file
	dir     string // for this run alone: configuration, log, and the records of a file sink
	broker  string // host:port
	topic   string
}

// records is the folder that a file sink writes into, and nothing else does.
func (j job) records() string { return filepath.Join(j.dir, "records") }

// config is the file for what a sensor cannot be told by arguments.
func (j job) config() string { return filepath.Join(j.dir, "config.yml") }

// configure writes that file, and returns its text.
func (j job) configure(text string) (string, error) {
	if err := os.WriteFile(j.config(), []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	return text, nil
}

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
	// accounts tells that it says in a ledger what was dropped.
	accounts bool
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
	var l lineup
	l.add(b.dnsluice, luice("json"), luice("protobuf"), luiceFile())
	l.add(b.dnsmonster, monster("none"), monster("snappy"), monsterFile())
	l.add(b.collector, collector("none"), collector("snappy"), collectorFile())
	l.add(b.sketch, sketch("json", "JSON"), sketch("pb", "Protobuf"))
	return l
}

type lineup []sensor

// add appends the settings of a program, if it is there.
func (l *lineup) add(binary string, settings ...sensor) {
	for _, s := range settings {
		if s.binary = binary; binary != "" {
			*l = append(*l, s)
		}
	}
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

// collectorPipeline is the configuration of DNS-collector around its input and its output.
const collectorPipeline = `global:
  trace:
    verbose: false
pipelines:
  - name: capture
%s    routing-policy:
      forward: [ out ]
  - name: out
%s`

// collectorFolder is the input that reads all captures of a folder.
func collectorFolder(j job) (string, error) {
	const input = `    file-ingestor:
      watch-dir: %s
      watch-mode: pcap
`
	dir := filepath.Join(j.dir, "captures")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	return fmt.Sprintf(input, dir), os.Symlink(j.capture, filepath.Join(dir, "capture.pcap"))
}

func collector(compression string) sensor {
	return collectorWith("JSON "+compression, false, collectorFolder, collectorKafka(compression))
}

// collectorKafka sends batches of 500 instead of 100, with which it loses far less, and flushes
// each second, so that its last batch is not taken for lost.
func collectorKafka(compression string) func(job) (string, error) {
	const output = `    kafkaproducer:
      remote-address: %s
      remote-port: %s
      topic: %s
      mode: json
      buffer-size: 500
      flush-interval: 1
      compression: %s
`
	return func(j job) (string, error) {
		host, port, err := net.SplitHostPort(j.broker)
		return fmt.Sprintf(output, host, port, j.topic, compression), err
	}
}

func collectorFile() sensor {
	const output = `    logfile:
      file-path: %s/records.json
      mode: json
      max-size: 1000000
      flush-interval: 1
`
	return collectorWith("JSON", true, collectorFolder, func(j job) (string, error) {
		return fmt.Sprintf(output, j.records()), nil
	})
}

func collectorWith(setting string, file bool, input, output func(job) (string, error)) sensor {
	return sensor{program: "DNS-collector", setting: setting, file: file,
		args: func(j job) []string { return []string{"-config", j.config()} },
		prepare: func(j job) (string, error) {
			in, err := input(j)
			if err != nil {
				return "", fmt.Errorf("input of DNS-collector: %w", err)
			}
			out, err := output(j)
			if err != nil {
				return "", fmt.Errorf("output of DNS-collector: %w", err)
			}
			return j.configure(fmt.Sprintf(collectorPipeline, in, out))
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
