// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package main

import "time"

// cpuTime returns 0: it is read where sensors run (cpu_unix.go).
func cpuTime() time.Duration { return 0 }
