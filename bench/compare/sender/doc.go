// SPDX-License-Identifier: Apache-2.0

// Package sender puts the frames of a capture on an interface, over and over, at a rate or as fast
// as it can, and says how many went out. It is a process of its own, so that what it costs is not
// the sensor's and what it holds in memory is not said of the sensor.
package sender
