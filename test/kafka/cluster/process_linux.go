// SPDX-License-Identifier: Apache-2.0

package cluster

import "syscall"

// endWithParent has the kernel kill the node when the test binary dies without its cleanup, as at
// the time-out of go test (prctl(2), PR_SET_PDEATHSIG; it survives the exec of Java).
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
