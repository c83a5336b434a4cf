// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package afpacket

import "errors"

type otherKernel struct{}

func newKernel(Config) kernel { return otherKernel{} }

func (otherKernel) carrier() bool { return true }

func (otherKernel) open() (opened, error) {
	return opened{}, errors.New("afpacket: live capture needs Linux: read a capture file instead")
}
