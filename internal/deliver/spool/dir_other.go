// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package spool

import (
	"errors"
	"io"
)

// noSpace: which error says so differs between systems. A full disk degrades the spool like any
// other error here, and nothing is dropped because of it.
func noSpace(error) bool { return false }

// space is not known here: MinFree is not watched, and MaxBytes is 10 GiB by default.
func space(string) (Space, error) { return Space{}, errors.ErrUnsupported }

// lock does not exist here, and Open says so in the log.
func lock(string) (io.Closer, error) { return nil, errors.ErrUnsupported }
