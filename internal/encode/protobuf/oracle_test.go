// SPDX-License-Identifier: Apache-2.0

package protobuf_test

import (
	stdjson "encoding/json"
	"reflect"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/dnsmsg"
	"github.com/dnsluice/dnsluice/internal/encode"
	"github.com/dnsluice/dnsluice/internal/encode/encodetest"
	"github.com/dnsluice/dnsluice/internal/encode/json"
	"github.com/dnsluice/dnsluice/internal/encode/protobuf"
)

var (
	message = encodetest.Message
	lane3   = encodetest.Lane3
)

func reader(t testing.TB) *encodetest.Proto {
	t.Helper()
	p, err := encodetest.NewProto()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// maxFixed is what a value may have beside questions, records and options.
const maxFixed = 8 << 10

// same checks that the two formats say the same, and returns what the Protobuf record says. Where
// JSON had to leave something out, the Protobuf record has all the rest and may have more.
func same(t testing.TB, p *encodetest.Proto, value, text []byte) map[string]any {
	t.Helper()
	if len(value) > encode.MaxValue+maxFixed {
		t.Errorf("a value of %d bytes", len(value))
	}
	got, err := p.Read(value)
	if err != nil {
		t.Fatalf("%v: %x", err, value)
	}
	want, err := encodetest.JSONRecord(text)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if want["omitted"] != nil {
		levelled(got, want)
	}
	if !reflect.DeepEqual(want, got) { // many times as fast as cmp
		t.Errorf("the formats differ (-json +protobuf):\n%s", cmp.Diff(want, got))
	}
	return got
}

// lists are the fields that a record may have only a part of.
var lists = []string{"questions", "query_answers", "query_authority", "query_additional",
	"answers", "authority", "additional"}

// levelled cuts the lists of got, which may be longer, to those of want, and counts what is cut
// among the omitted.
func levelled(got, want map[string]any) {
	omitted := 0
	if n, ok := got["omitted"].(stdjson.Number); ok {
		omitted, _ = strconv.Atoi(string(n))
	}
	whole := omitted == 0
	if optionsOf(got) > optionsOf(want) { // they count as one
		got["query_edns"] = want["query_edns"]
		omitted++
	}
	for _, key := range lists {
		have, _ := got[key].([]any)
		keep, _ := want[key].([]any)
		if len(have) <= len(keep) {
			continue
		}
		omitted += len(have) - len(keep)
		if got[key] = have[:len(keep)]; len(keep) == 0 {
			delete(got, key)
		}
	}
	got["omitted"] = stdjson.Number(strconv.Itoa(omitted))
	for _, key := range []string{"qdcount", "ancount", "nscount", "arcount"} {
		if whole { // a record that is whole does not have them
			got[key] = want[key]
		}
	}
}

// optionsOf returns how many fields the OPT record of the query has: the options are optional.
func optionsOf(record map[string]any) int {
	edns, _ := record["query_edns"].(map[string]any)
	return len(edns)
}

func TestEveryMessageReadsTheSameInBothFormats(t *testing.T) {
	p := reader(t)
	one, other := protobuf.New(lane3), json.New(lane3)
	for _, s := range encodetest.Samples(t) {
		t.Run(s.Name, func(t *testing.T) {
			m := message(s.Wire, s.Change)
			same(t, p, one.Append(nil, 42, m), other.Append(nil, 42, m))
			alone := dnsmsg.Transaction{Kind: encode.KindOf(m), Response: m}
			same(t, p, one.AppendTransaction(nil, 42, &alone), other.AppendTransaction(nil, 42, &alone))
		})
	}
}

func TestEveryTransactionReadsTheSameInBothFormats(t *testing.T) {
	p := reader(t)
	one, other := protobuf.New(lane3), json.New(lane3)
	for name, x := range encodetest.Pairs() {
		t.Run(name, func(t *testing.T) {
			same(t, p, one.AppendTransaction(nil, 42, x), other.AppendTransaction(nil, 42, x))
		})
	}
}

func TestEveryHeartbeatReadsTheSameInBothFormats(t *testing.T) {
	p := reader(t)
	one, other := protobuf.New(lane3), json.New(lane3)
	for _, h := range encodetest.Heartbeats() {
		t.Run(h.Name, func(t *testing.T) {
			got := same(t, p, one.AppendHeartbeat(nil, 42, &h.Heartbeat),
				other.AppendHeartbeat(nil, 42, &h.Heartbeat))
			if got["kind"] != "heartbeat" {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestLargeMessagesFitAndSayWhatWasLeftOut(t *testing.T) {
	p := reader(t)
	one, other := protobuf.New(lane3), json.New(lane3)
	cut := 0
	for _, f := range encodetest.Floods() {
		t.Run(f.Name, func(t *testing.T) {
			m := message(f.Wire, nil)
			v := one.Append(nil, 42, m)
			omitted := omittedOf(t, p, v)
			same(t, p, v, other.Append(nil, 42, m))
			if omitted > 0 {
				cut++
			}
			// What is left out is left out because there is no room, not before.
			if f.Whole && omitted > 0 || omitted > 0 && len(v) < encode.MaxValue/4 {
				t.Errorf("%d bytes, and %d omitted", len(v), omitted)
			}
			x := dnsmsg.Transaction{Kind: dnsmsg.KindTransaction, Query: m, Response: m}
			same(t, p, one.AppendTransaction(nil, 42, &x), other.AppendTransaction(nil, 42, &x))
		})
	}
	if cut == 0 {
		t.Error("nothing was ever left out")
	}
}

// omittedOf returns what a record says was left out of it.
func omittedOf(t *testing.T, p *encodetest.Proto, value []byte) int64 {
	t.Helper()
	got, err := p.Read(value)
	if err != nil {
		t.Fatal(err)
	}
	if got["omitted"] == nil {
		return 0
	}
	n, err := got["omitted"].(stdjson.Number).Int64()
	if err != nil || n == 0 || got["qdcount"] == nil {
		t.Errorf("omitted %v, qdcount %v", got["omitted"], got["qdcount"])
	}
	return n
}
