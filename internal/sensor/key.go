// SPDX-License-Identifier: Apache-2.0

package sensor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// Key is what the Kafka key of a record is. The text is that of the field of its name in the record,
// which has no key when it lacks the field.
type Key uint8

// The keys.
const (
	NoKey Key = iota
	ClientIP
	ServerIP
	QName
	SensorName
)

var keyNames = [...]string{NoKey: "none", ClientIP: "client_ip", ServerIP: "server_ip",
	QName: "qname", SensorName: "sensor"}

// String returns the name that configurations use.
func (k Key) String() string { return keyNames[k] }

// ParseKey returns the key of that name.
func ParseKey(name string) (Key, error) {
	i := slices.Index(keyNames[:], name)
	if i < 0 {
		return NoKey, fmt.Errorf("sensor: key %q: choose one of %s", name, strings.Join(keyNames[:], ", "))
	}
	return Key(i), nil
}

// maxKey has room for any: a name of 255 bytes (RFC 1035, section 2.3.4), each written as an escape
// of four.
const maxKey = 1024

// keyer makes the keys of one lane's records.
type keyer struct {
	kind   Key
	sensor []byte
	buf    []byte // of the newest
}

func newKeyer(kind Key, sensor string) keyer {
	return keyer{kind: kind, sensor: []byte(sensor), buf: make([]byte, 0, maxKey)}
}

// of returns the key of the record of m, which is nil for one about no message. asked is who has the
// question. The key is valid until the next call; nil is none.
func (k *keyer) of(m, asked *dnsmsg.Message) []byte {
	if k.kind == SensorName {
		return k.sensor
	}
	if k.kind == NoKey || m == nil {
		return nil
	}
	key := k.buf[:0]
	switch k.kind {
	case ClientIP:
		client, _ := m.Client()
		key = dnsmsg.AppendAddr(key, client)
	case ServerIP:
		server, _ := m.Server()
		key = dnsmsg.AppendAddr(key, server)
	case QName:
		if len(asked.Questions) > 0 {
			key, _ = dnsmsg.AppendQName(key, asked.Wire, int(asked.Questions[0].Name))
		}
	}
	if len(key) == 0 {
		return nil
	}
	k.buf = key
	return key
}
