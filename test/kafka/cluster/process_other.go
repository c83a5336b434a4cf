// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package cluster

import "syscall"

// endWithParent does nothing here: only Linux can tie a process to its parent.
func endWithParent() *syscall.SysProcAttr { return nil }
