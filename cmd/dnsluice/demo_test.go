// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dnsluice/dnsluice/internal/deliver/kafka"
	"github.com/dnsluice/dnsluice/internal/ops/config"
	"github.com/dnsluice/dnsluice/internal/sensor"
)

const allBack = "every record that was delivered was read back"

func TestTheDemoReadsBackWhatItDelivers(t *testing.T) {
	t.Parallel()
	r := execute(t, program(t, "demo", "--for", "2s", "--rate", "2000")).expect(t, 0)
	for _, words := range []string{allBack, "the ledger balances", "more than once 0", "flowing: "} {
		if !strings.Contains(r.stdout, words) {
			t.Errorf("it does not say %q: %s", words, r.stdout)
		}
	}
}

func TestASignalEndsTheDemoCleanly(t *testing.T) {
	t.Parallel()
	p := start(t, program(t, "demo", "--for", "0"))
	p.says("flowing: ")
	p.signal(syscall.SIGINT)
	if said := p.wait(0); !strings.Contains(said, allBack) {
		t.Errorf("it said %s", said)
	}
}

func TestADemoWithoutAnInterfaceIsAFailure(t *testing.T) {
	t.Parallel()
	r := execute(t, program(t, "demo", "--capture", "nowhere")).expect(t, 1)
	if !strings.Contains(r.stderr, "nowhere") && !strings.Contains(r.stderr, "CAP_NET_RAW") ||
		strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("want one line: %s", r.stderr)
	}
}

func TestTheComparisonFindsWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name string
		comparison
		says string
	}{
		{"all came back", comparison{5, 5, 0, nil}, ""},
		{"one is missing", comparison{5, 4, 0, nil}, "5 records were acknowledged, 4 came back"},
		{"one came that nobody acknowledged", comparison{5, 6, 0, nil}, "acknowledged, 6 came back"},
		{"one came twice", comparison{5, 5, 1, nil}, "1 of them more than once"},
		{"one is no record", comparison{5, 5, 0, errors.New("not a record")}, "not a record"},
		{"there was none", comparison{}, "no DNS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.err()
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error is %v, want %q", err, c.says)
			}
		})
	}
}

func TestReadBackCountsEachRecord(t *testing.T) {
	b := &readBack{seen: map[id]struct{}{}}
	for _, value := range []string{
		`{"lane":0,"seq":1}`, `{"lane":1,"seq":1}`, `{"lane":0,"seq":2}`, `{"lane":0,"seq":1}`,
	} {
		b.take(kafka.Record{Value: []byte(value)})
	}
	if c := b.compare(4); c != (comparison{4, 3, 1, nil}) {
		t.Errorf("%+v", c)
	}
	b.take(kafka.Record{Partition: 2, Offset: 7, Value: []byte(`{"lane":`)})
	if c := b.compare(4); c.bad == nil || !strings.Contains(c.bad.Error(), "partition 2, offset 7") {
		t.Errorf("%+v", c)
	}
	for seq := range 20 {
		b.take(kafka.Record{Value: []byte(`{"lane":2,"seq":` + string(rune('0'+seq%10)) + `}`)})
	}
	if newest, _ := b.latest(); len(newest) != shownRecords || newest[shownRecords-1].Seq != 9 {
		t.Errorf("the newest are %+v", newest)
	}
}

func TestALineFitsTheScreen(t *testing.T) {
	r := shown{Time: "2026-11-22T19:00:00.123456789Z", Kind: "response", Client: "192.0.2.1",
		Transport: "udp", Rcode: "NOERROR", Name: "www.example", Type: "A"}
	r.Answers = append(r.Answers, struct {
		Data string `json:"data"`
	}{"192.0.2.80"})
	want := "19:00:00.123 response  192.0.2.1       udp www.example A NOERROR 192.0.2.80"
	if got := r.line(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r.Name = strings.Repeat("long.", 50)
	if got := r.line(); len(got) != 110 || !strings.HasSuffix(got, "...") {
		t.Errorf("%d columns: %s", len(got), got)
	}
	if got := (shown{}).line(); got == "" {
		t.Error("a record without fields has no line")
	}
}

func TestTheScreenIsPaintedOrPrinted(t *testing.T) {
	cfg := config.Default()
	cfg.Capture.Read = []string{"never-opened.pcap"}
	settings, err := sensorConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	idle, err := sensor.New(settings, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	back := &readBack{seen: map[id]struct{}{}}
	back.take(kafka.Record{Value: []byte(`{"lane":0,"seq":1,"qname":"www.example"}`)})
	var out bytes.Buffer
	screen := newScreen(&out) // which is no terminal
	screen.draw(idle, back)
	want := "connecting: 0 packets, 0 messages, 0 acknowledged, 1 read back, 0 dropped\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	out.Reset()
	screen.size = func() (columns, rows int) { return 80, 24 }
	screen.draw(idle, back)
	painted := out.String()
	if !strings.HasPrefix(painted, home) || !strings.HasSuffix(painted, eraseRest) ||
		!strings.Contains(painted, "www.example") ||
		strings.Count(painted, "\n") != strings.Count(painted, eraseLine) {
		t.Errorf("painted %q", painted)
	}
}

func TestAFrameFitsItsTerminal(t *testing.T) {
	screen := &screen{size: func() (columns, rows int) { return 20, 6 }}
	got := screen.frame(strings.Repeat("what is far longer than the terminal\n\n", 9))
	// The end of the last line is a row as well: with as many lines as rows it would scroll.
	want := home + strings.Repeat("what is far longer ~"+eraseLine+"\n", 4) +
		"... 5 more lines; a~" + eraseLine + "\n" + eraseRest
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
