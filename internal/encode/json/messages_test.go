// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode/encodetest"
	"github.com/dnsluice/dnsluice/internal/encode/json"
)

// What the messages of these tests are built from.
var (
	header  = encodetest.Header
	record  = encodetest.Record
	opt     = encodetest.OPT
	message = encodetest.Message
	samples = encodetest.Samples
	floods  = encodetest.Floods
	lane3   = encodetest.Lane3
)

const (
	aQuery    = encodetest.Query
	aResponse = encodetest.Response
	toExample = encodetest.ToExample
)

// value encodes m as the 42nd record of a lane.
func value(m *dnsmsg.Message) []byte { return json.New(lane3).Append(nil, 42, m) }
