// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package check

import (
	"errors"
	"fmt"
)

func mayCapture() error {
	return fmt.Errorf("interfaces are captured on Linux only: %w", errors.ErrUnsupported)
}

func systemClock() (Clock, error) { return Clock{}, errors.ErrUnsupported }

func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }

func openFiles() (uint64, error) { return 0, errors.ErrUnsupported }

func memoryLimits() ([]Limit, error) { return nil, errors.ErrUnsupported }
