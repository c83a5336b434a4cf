// SPDX-License-Identifier: Apache-2.0

package encodetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/dnsluice/dnsluice/schema"
)

// Proto reads Protobuf records by nothing but the schema.
type Proto struct {
	record protoreflect.MessageDescriptor
}

// NewProto compiles the Protobuf schema.
func NewProto() (*Proto, error) {
	source := protocompile.SourceAccessorFromMap(map[string]string{"dns.proto": string(schema.Proto)})
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{Accessor: source}}
	files, err := compiler.Compile(context.Background(), "dns.proto")
	if err != nil {
		return nil, err
	}
	record := files[0].Messages().ByName("Record")
	if record == nil {
		return nil, fmt.Errorf("dns.proto has no message Record")
	}
	return &Proto{record}, nil
}

// Read returns a record as JSONRecord does. What the schema does not know is an error, and what it
// has for other kinds of records.
func (p *Proto) Read(value []byte) (map[string]any, error) {
	m := dynamicpb.NewMessage(p.record)
	if err := proto.Unmarshal(value, m); err != nil {
		return nil, err
	}
	all, err := object(m)
	if err != nil {
		return nil, err
	}
	if all["heartbeat"] == nil {
		return all, notRead(all)
	}
	for _, f := range schema.FieldsOf(schema.OfMessages) {
		field := p.record.Fields().ByName(protoreflect.Name(f.Name))
		switch of := slices.IndexFunc(schema.FieldsOf(schema.OfHeartbeats),
			func(o schema.Field) bool { return o.Name == f.Name }); {
		case of >= 0:
		case m.Has(field):
			return nil, fmt.Errorf("a heartbeat has %s", f.Name)
		default:
			delete(all, f.Name) // which without presence is there as nothing
		}
	}
	return all, nil
}

// notRead takes from a record what the bytes of its message end before, which is there as nothing.
func notRead(record map[string]any) error {
	malformed, _ := record["malformed"].(map[string]any)
	if malformed == nil || record["opcode"] != "" {
		return nil
	}
	digits, _ := malformed["bytes"].(string)
	for _, f := range schema.FieldsOf(schema.OfMessages) {
		switch v := record[f.Name]; {
		case f.Presence != schema.Uncut || f.Name == "id" && len(digits) >= 4:
		case v != "" && v != false && v != json.Number("0"):
			return fmt.Errorf("%s is %v, in a message of %q", f.Name, v, digits)
		default:
			delete(record, f.Name)
		}
	}
	return nil
}

// object has what is present: of fields without presence all, of lists those that are not empty.
func object(m protoreflect.Message) (map[string]any, error) {
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		return nil, fmt.Errorf("%s has unknown fields: %x", m.Descriptor().Name(), unknown)
	}
	all := map[string]any{}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if (f.HasPresence() || f.IsList()) && !m.Has(f) {
			continue
		}
		var err error
		if all[string(f.Name())], err = value(f, m.Get(f)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func value(f protoreflect.FieldDescriptor, v protoreflect.Value) (any, error) {
	switch {
	case f.IsList():
		var list []any
		for i := range v.List().Len() {
			m, err := object(v.List().Get(i).Message())
			if err != nil {
				return nil, err
			}
			list = append(list, m)
		}
		return list, nil
	case f.Kind() == protoreflect.MessageKind:
		return object(v.Message())
	case f.Kind() == protoreflect.BoolKind:
		return v.Bool(), nil
	case f.Kind() == protoreflect.StringKind:
		return v.String(), nil
	case f.Kind() == protoreflect.Sfixed64Kind:
		return json.Number(strconv.FormatInt(v.Int(), 10)), nil
	}
	return json.Number(strconv.FormatUint(v.Uint(), 10)), nil
}

// JSONRecord reads a JSON record. Numbers are json.Number, and times are such, as in Protobuf.
func JSONRecord(text []byte) (map[string]any, error) {
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	all := map[string]any{}
	if err := dec.Decode(&all); err != nil {
		return nil, err
	}
	if err := timeAsNumber(all, "ts"); err != nil {
		return nil, err
	}
	if heartbeat, ok := all["heartbeat"].(map[string]any); ok {
		return all, timeAsNumber(heartbeat, "since")
	}
	return all, nil
}

func timeAsNumber(object map[string]any, key string) error {
	t, err := time.Parse(time.RFC3339Nano, fmt.Sprint(object[key]))
	object[key] = json.Number(strconv.FormatInt(t.UnixNano(), 10))
	return err
}
