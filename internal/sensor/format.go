// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"fmt"

	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/internal/encode/json"
	"github.com/dnsluice/dnsluice/internal/encode/protobuf"
)

// newEncoder returns an encoder of the format, json or protobuf; none is json.
func newEncoder(format string, id encode.Identity) (encode.Encoder, error) {
	switch format {
	case "", "json":
		return json.New(id), nil
	case "protobuf":
		return protobuf.New(id), nil
	}
	return nil, fmt.Errorf("sensor: format %q is not known; use json, protobuf", format)
}
