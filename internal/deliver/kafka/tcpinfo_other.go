// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package kafka

import (
	"errors"
	"net"
)

var errNoTCPInfo = errors.New("only Linux is asked what it knows of a TCP connection")

// kernelOf returns why there is nothing to say.
func kernelOf(net.Conn) (*Kernel, error) { return nil, errNoTCPInfo }
