// SPDX-License-Identifier: Apache-2.0

//go:build drills

package drills

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dnsluice/dnsluice/internal/deliver/spool/spooltest"
)

func TestDrillDiskFails(t *testing.T) {
	config, disk := onDisk(1 << 30)
	fails := func(op spooltest.Op, err error) {
		disk.Fail(func(o spooltest.Op, _ string) error {
			if o == op {
				return err
			}
			return nil
		})
	}
	drill{number: 28, what: "the spool's disk fails to write, is read-only, fails to sync, takes 2 s to sync",
		config: config, fault: away, during: func(r *rig) {
			for op, err := range map[spooltest.Op]error{
				spooltest.Write: syscall.EIO, spooltest.Create: syscall.EROFS,
			} {
				fails(op, err)
				if op == spooltest.Create {
					r.passes(1500) // until the segment is full
				}
				degraded(r)
				disk.Fail(nil)
				r.spooled(r.spool.Stats().Records + 500)
			}
			fails(spooltest.Sync, syscall.EIO)
			r.passes(3000)
			var once sync.Once
			slow := make(chan struct{})
			disk.Fail(func(o spooltest.Op, _ string) error {
				if o == spooltest.Sync {
					once.Do(func() {
						<-time.After(2 * time.Second)
						close(slow)
					})
				}
				return nil
			})
			<-slow
			disk.Fail(nil)
			r.spooled(r.spool.Stats().Records + 500)
		}, heal: back}.run(t)
}
