// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"testing"

	"github.com/dnsluice/dnsluice/internal/encode/encodetest"
	"github.com/dnsluice/dnsluice/internal/encode/json"
)

func BenchmarkEncoder(b *testing.B) { encodetest.Bench(b, json.New(lane3)) }
