// SPDX-License-Identifier: Apache-2.0

// Package dnsluice holds what the program carries inside itself.
package dnsluice

import "embed"

// Captures are the project's own captures, recorded by testdata/record.sh, in the folder testdata.
//
//go:embed testdata/*.pcap testdata/*.pcapng testdata/*.gz testdata/*.zst
var Captures embed.FS
