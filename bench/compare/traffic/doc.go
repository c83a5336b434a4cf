// SPDX-License-Identifier: Apache-2.0

// Package traffic makes the capture of the comparison: DNS as a resolver's network card sees it,
// made up but realistic, the same bytes for the same seed.
//
// Names follow Zipf's law, clients are IPv4 and IPv6, types, sizes, compression, aliases, EDNS,
// DNSSEC and negative answers come in the shares that constants name. A little of it is TCP: some
// by choice, some after a truncated answer. A TCP message always fits one segment: two of the
// programs compared cannot join segments, and the comparison is about cost, not about that.
package traffic
