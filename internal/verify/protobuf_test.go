// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/internal/encode/encodetest"
	"github.com/dnsluice/dnsluice/internal/encode/json"
	"github.com/dnsluice/dnsluice/internal/encode/protobuf"
	"github.com/dnsluice/dnsluice/schema"
)

// wireReference does by protowire what scanProto does.
func wireReference(value []byte) (n named, ok bool) {
	found := map[protowire.Number]bool{}
	for len(value) > 0 {
		number, kind, size := protowire.ConsumeTag(value)
		if size < 0 || number > protowire.MaxValidNumber || kind == protowire.StartGroupType {
			return named{}, false
		}
		value = value[size:]
		if size = protowire.ConsumeFieldValue(number, kind, value); size < 0 {
			return named{}, false
		}
		numbers := map[protowire.Number]*uint64{numVersion: &n.V, numLane: &n.Lane, numSeq: &n.Seq}
		texts := map[protowire.Number]*string{numSensor: &n.Sensor, numRun: &n.Run, numKind: &n.Kind}
		if to := numbers[number]; to != nil && kind == protowire.VarintType {
			*to, _ = protowire.ConsumeVarint(value)
			found[number] = true
		}
		if to := texts[number]; to != nil && kind == protowire.BytesType {
			*to, _ = protowire.ConsumeString(value)
			found[number] = true
		}
		value = value[size:]
	}
	for _, number := range []protowire.Number{numVersion, numSeq, numSensor, numRun, numKind} {
		if !found[number] {
			return named{}, false
		}
	}
	return n, true
}

func scannedProto(value []byte) (n named, ok bool) {
	var f fields
	if !scanProto(value, &f) {
		return n, false
	}
	return named{f.version, f.lane, f.seq, string(f.sensor), string(f.run), string(f.kind)}, true
}

// inBoth are the same records of both formats.
func inBoth(t testing.TB) (values, texts [][]byte) {
	one, other := protobuf.New(encodetest.Lane3), json.New(encodetest.Lane3)
	for i, s := range encodetest.Samples(t) {
		m := encodetest.Message(s.Wire, s.Change)
		values = append(values, one.Append(nil, uint64(i+1), m))
		texts = append(texts, other.Append(nil, uint64(i+1), m))
	}
	for _, x := range encodetest.Pairs() {
		values = append(values, one.AppendTransaction(nil, 1<<40, x))
		texts = append(texts, other.AppendTransaction(nil, 1<<40, x))
	}
	for _, h := range encodetest.Heartbeats() {
		values = append(values, one.AppendHeartbeat(nil, 7, &h.Heartbeat))
		texts = append(texts, other.AppendHeartbeat(nil, 7, &h.Heartbeat))
	}
	return values, texts
}

func TestScanFindsTheSameInBothFormats(t *testing.T) {
	values, texts := inBoth(t)
	for i, v := range values {
		var got, want fields
		if !scan(v, &got) || !scan(texts[i], &want) {
			t.Fatalf("%x or %s is no record", v, texts[i])
		}
		a, _ := scannedProto(v)
		b, _ := scanned(texts[i])
		if diff := cmp.Diff(b, a); diff != "" || !got.protobuf || want.protobuf {
			t.Errorf("(-json +protobuf) %s", diff)
		}
		if reference, ok := wireReference(v); !ok || reference != a {
			t.Errorf("protowire finds %+v, not %+v", reference, a)
		}
		for n := range v {
			got, ok := scannedProto(v[:n])
			if want, wantOK := wireReference(v[:n]); ok != wantOK || got != want {
				t.Errorf("cut at %d: %+v, %v, want %+v, %v: %x", n, got, ok, want, wantOK, v[:n])
			}
		}
	}
}

func TestHeartbeatsSayTheSameInBothFormats(t *testing.T) {
	for _, h := range encodetest.Heartbeats() {
		var beats []beat
		for _, e := range []encode.Encoder{json.New(encodetest.Lane3), protobuf.New(encodetest.Lane3)} {
			var f fields
			value := e.AppendHeartbeat(nil, 7, &h.Heartbeat)
			if !scan(value, &f) {
				t.Fatalf("%s is no record: %q", h.Name, value)
			}
			b, ok := parseBeat(&f, value)
			if !ok {
				t.Fatalf("%s is no heartbeat: %q", h.Name, value)
			}
			beats = append(beats, b)
		}
		if diff := cmp.Diff(beats[0], beats[1], cmp.AllowUnexported(beat{}, heartbeat{}),
			cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
			t.Errorf("%s (-json +protobuf) %s", h.Name, diff)
		}
	}
}

func TestAProtobufHeartbeatThatIsBrokenIsNone(t *testing.T) {
	whole := encodetest.Heartbeats()[1]
	value := protobuf.New(encodetest.Lane3).AppendHeartbeat(nil, 7, &whole.Heartbeat)
	var f fields
	if !scan(value, &f) {
		t.Fatal("no record")
	}
	inside := f.heartbeat
	if b, ok := parseBeat(&f, nil); !ok || len(b.Lanes) != 2 {
		t.Fatalf("%+v", b)
	}
	for _, broken := range [][]byte{nil, inside[:len(inside)-1], append([]byte{0x0b}, inside...),
		{beatLanes<<3 | 2, 1, 0x08}, {beatSpool<<3 | 2, 2, 0x08, 0x80}} {
		f.heartbeat = broken
		if b, ok := parseBeat(&f, nil); ok {
			t.Errorf("%x: %+v", broken, b)
		}
	}
}

func TestAProtobufRecordMayLackItsLaneAlone(t *testing.T) {
	without := func(left protowire.Number) (b []byte) {
		for _, number := range []protowire.Number{numVersion, numLane, numSeq} {
			if number != left {
				b = protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), 1)
			}
		}
		for _, number := range []protowire.Number{numSensor, numRun, numKind} {
			if number != left {
				b = protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), "x")
			}
		}
		return b
	}
	for _, left := range []protowire.Number{numVersion, numSensor, numRun, numLane, numSeq, numKind} {
		if _, ok := scannedProto(without(left)); ok != (left == numLane) {
			t.Errorf("without %d: %v", left, ok)
		}
	}
}

// TestTheNumbersAreThoseOfTheSchema holds the constants against the table.
func TestTheNumbersAreThoseOfTheSchema(t *testing.T) {
	of := map[string]int{}
	var walk func(within string, fields []schema.Field)
	walk = func(within string, fields []schema.Field) {
		for _, f := range fields {
			of[within+f.Name] = f.Number
			walk(within+f.Name+".", f.Of)
		}
	}
	walk("", schema.Fields())
	for name, number := range map[string]int{
		"v": numVersion, "sensor": numSensor, "run": numRun, "lane": numLane, "seq": numSeq,
		"ts": numTs, "kind": numKind, "heartbeat": numHeartbeat, "heartbeat.last": beatLast,
		"heartbeat.interval_ms": beatInterval, "heartbeat.state": beatState,
		"heartbeat.spooled": beatSpooled, "heartbeat.dropped": beatDropped,
		"heartbeat.held": beatHeld, "heartbeat.lanes": beatLanes, "heartbeat.spool": beatSpool,
		"heartbeat.lanes.lane": laneNumber, "heartbeat.lanes.seq": laneSeq,
		"heartbeat.lanes.dropped": laneDropped, "heartbeat.spool.records": spoolRecords,
		"heartbeat.spool.dropped": spoolDropped,
	} {
		if of[name] != number {
			t.Errorf("%s is %d, not %d", name, of[name], number)
		}
	}
}

func TestScanOfProtobufAllocatesNothing(t *testing.T) {
	values, _ := inBoth(t)
	f := &fields{}
	if n := testing.AllocsPerRun(100, func() {
		for _, v := range values {
			scan(v, f)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzScanProto(f *testing.F) {
	values, _ := inBoth(f)
	for _, v := range values {
		f.Add(v)
	}
	f.Add([]byte{0x0b, 0x0c}) // a group
	f.Add([]byte{0xfd, 0xff, 0xff, 0xff, 0x1f, 0, 0, 0, 0})
	f.Add(binary.AppendUvarint([]byte{8}, 1<<64-1))
	f.Fuzz(func(t *testing.T, value []byte) {
		want, wantOK := wireReference(value)
		got, ok := scannedProto(value)
		if ok != wantOK || got != want {
			t.Errorf("%x: %+v, %v, want %+v, %v", value, got, ok, want, wantOK)
		}
		var all fields
		if scan(value, &all) && all.protobuf {
			parseBeat(&all, value)
		}
	})
}
