// SPDX-License-Identifier: Apache-2.0

// Package drills holds the fault drills of the whole sensor: an endless source of numbered queries,
// a sensor with a spool on disk, and brokers in the process behind a proxy that breaks what can
// break. Whatever is done, one oracle judges it (oracle_test.go): what is not in the topic is what
// was reported as dropped, exactly; nothing is there that was never sent; what is there twice has
// the same identity; capture never stood still for a second; no goroutine is left; memory is
// bounded; the state was right in time; and after the fault nothing waits any more.
//
// Some drills run the program itself as a process, for it is to be killed. The soak does so for
// half an hour, with one fault after the other (make soak; soak_linux_test.go). Drills that need
// less than a whole sensor are where the part is that they are about, as in
// internal/deliver/kafka. All write what came of them by package result.
package drills
