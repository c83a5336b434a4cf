// SPDX-License-Identifier: Apache-2.0

// Package netns gives tests network namespaces of their own, and interfaces in them on which nobody
// but the test talks.
package netns
