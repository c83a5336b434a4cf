// SPDX-License-Identifier: Apache-2.0

package protobuf_test

import (
	"testing"

	"github.com/dnsluice/dnsluice/internal/encode/encodetest"
	"github.com/dnsluice/dnsluice/internal/encode/protobuf"
)

func BenchmarkEncoder(b *testing.B) { encodetest.Bench(b, protobuf.New(lane3)) }
