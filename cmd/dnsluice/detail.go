// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver"
	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

// detail is what /api/state says besides. Package ask reads it.
type detail struct {
	Time        time.Time           `json:"time"`
	Started     time.Time           `json:"started"`
	Process     usage               `json:"process"`
	Lanes       []sensor.LaneStatus `json:"lanes"`
	Delivery    deliver.Status      `json:"delivery"`
	Connections []kafka.Connection  `json:"connections"`
}

type usage struct {
	Limit      uint64  `json:"memory_limit"`
	Resident   uint64  `json:"memory_resident"`
	CPU        float64 `json:"cpu_seconds"`
	Goroutines int     `json:"goroutines"`
}

func (s service) detail() any {
	return detail{
		Time: time.Now(), Started: s.started,
		Process: usage{Limit: uint64(s.cfg.Ops.Memory), Resident: resident(), CPU: cpuTime().Seconds(),
			Goroutines: runtime.NumGoroutine()},
		Lanes: s.sensor.Lanes(), Delivery: s.sensor.Status(), Connections: s.connections(),
	}
}

// resident returns the memory of this process, or 0 when the system does not tell.
func resident() uint64 {
	statm, err := os.ReadFile("/proc/self/statm") // proc(5): pages, the second is the resident set
	if err != nil {
		return 0
	}
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}
