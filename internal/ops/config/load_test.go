// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// given is all that a user can say, for one Load.
type given struct {
	file string // the YAML text; none when empty
	env  []string
	args []string
}

const fileName = "dnsluice.yaml"

func (g given) load(t *testing.T, checks ...func(Config) error) (*Loaded, error) {
	t.Helper()
	set := pflag.NewFlagSet("run", pflag.ContinueOnError)
	Bind(set)
	args := g.args
	if g.file != "" {
		args = append([]string{"--config", fileName}, args...)
	}
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return Load(set, g.env, func(path string) ([]byte, error) {
		if path != fileName {
			return nil, fmt.Errorf("open %s: %w", path, fs.ErrNotExist)
		}
		return []byte(g.file), nil
	}, checks...)
}

// everything sets each key to what is neither its default nor nothing.
const everything = `
sensor: ns1
capture:
  interfaces: [eth0, eth1]
  read: ['-', "a,b.pcap"]
  ports: [53, 5353]
  tunnels: [vxlan, gre]
  promiscuous: false
  lanes: 3
  ring_size: 4MiB
  dnstap: ["unix:///run/d.sock", "tls://[::1]:6000"]
  dnstap_socket_mode: "0600"
  dnstap_connections: 7
  dnstap_tls_cert: c.pem
  dnstap_tls_key: k.pem
  dnstap_tls_client_ca: ca.pem
decode:
  tcp_memory: 3MiB
  tcp_gap: 1s
  fragment_memory: 5MiB
  fragment_age: 10s
match:
  emit: transactions
  timeout: 2s
  memory: 2MiB
encode: {format: json}
deliver:
  brokers:
  - k1:9092
  - "[2001:db8::1]:9092"
  topic: "53"
  key: client_ip
  compression: zstd
  mode: at-least-once
  acks: all
  spool_after: 3s
  durable: true
  dead_letter: dead.jsonl
  dead_letter_max: 1MiB
  batch_size: 700000
  linger: 0
  request_timeout: 3s
  timestamp_max_age: 1h30m
  grace: 1m
  heartbeat: 30s
spool:
  dir: spool
  max: 1GiB
  min_free: 2GiB
  max_age: 48h
  fsync: always
  segment: 16MiB
tls:
  enabled: true
  ca: ca.pem
  cert: client.pem
  key: client.key
  server_name: kafka.example
  min_version: "1.3"
sasl:
  mechanism: OAUTHBEARER
  user: sensor
  password: "1"
  password_file: password
  token_file: token
  token_url: https://id.example/token
  token_ca: id.pem
  client_id: sensor
  client_secret: "2"
  client_secret_file: secret
  scope: kafka
  extensions: [logicalCluster=lkc-1, identityPoolId=pool-1]
ops:
  memory: 64MB
  http: off
  ledger: run.json
  log_level: debug
  log_format: json
  pprof: true
`

func everythingWant() Config {
	return Config{
		Sensor: "ns1",
		Capture: Capture{Interfaces: []string{"eth0", "eth1"}, Read: []string{"-", "a,b.pcap"},
			Ports: []uint16{53, 5353}, Tunnels: []string{"vxlan", "gre"}, Lanes: 3, RingSize: 4 << 20,
			DNSTap: DNSTap{Listen: []string{"unix:///run/d.sock", "tls://[::1]:6000"},
				SocketMode: "0600", Connections: 7, Cert: "c.pem", Key: "k.pem", ClientCA: "ca.pem"}},
		Decode: Decode{TCPMemory: 3 << 20, TCPGap: time.Second, FragmentMemory: 5 << 20,
			FragmentAge: 10 * time.Second},
		Match:  Match{Emit: "transactions", Timeout: 2 * time.Second, Memory: 2 << 20},
		Encode: Encode{Format: "json"},
		Deliver: Deliver{Brokers: []string{"k1:9092", "[2001:db8::1]:9092"}, Topic: "53", Key: "client_ip",
			Compression: "zstd", Mode: AtLeastOnce, Acks: "all", SpoolAfter: 3 * time.Second,
			Durable: true, DeadLetter: "dead.jsonl", DeadLetterMax: 1 << 20, BatchSize: 700_000,
			RequestTimeout: 3 * time.Second, TimestampMaxAge: 90 * time.Minute,
			Grace: time.Minute, Heartbeat: 30 * time.Second},
		Spool: Spool{Dir: "spool", Max: 1 << 30, MinFree: 2 << 30, MaxAge: 48 * time.Hour,
			Fsync: "always", Segment: 16 << 20},
		TLS: TLS{Enabled: true, CA: "ca.pem", Cert: "client.pem", Key: "client.key",
			ServerName: "kafka.example", MinVersion: "1.3"},
		SASL: SASL{Mechanism: "OAUTHBEARER", User: "sensor", Password: NewSecret("1"),
			PasswordFile: "password", TokenFile: "token", TokenURL: "https://id.example/token",
			TokenCA: "id.pem", ClientID: "sensor", ClientSecret: NewSecret("2"),
			ClientSecretFile: "secret", Scope: "kafka",
			Extensions: []string{"logicalCluster=lkc-1", "identityPoolId=pool-1"}},
		Ops: Ops{Memory: 64_000_000, HTTP: Off, Ledger: "run.json", LogLevel: "debug",
			LogFormat: "json", Pprof: true},
	}
}

func TestAFileSetsEveryKey(t *testing.T) {
	got, err := given{file: everything}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(everythingWant(), got.Config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	for _, o := range options(&Config{}) {
		if !strings.HasPrefix(got.Origin(o.key), fileName+":") {
			t.Errorf("%s is not in the file of this test", o.key)
		}
	}
}

func TestEveryFieldHasItsKey(t *testing.T) {
	fields := 0
	var count func(reflect.Type)
	count = func(typ reflect.Type) {
		for i := range typ.NumField() {
			if f := typ.Field(i); f.Type.Kind() == reflect.Struct {
				count(f.Type)
			} else {
				fields++
			}
		}
	}
	count(reflect.TypeFor[Config]())
	keys := map[string]bool{}
	for _, o := range options(&Config{}) {
		keys[o.key] = true
		if section, _ := split(o.key); section != "" && sections[section] == "" {
			t.Errorf("%s: its section is not described", o.key)
		}
		if !strings.HasSuffix(o.help, ".") || strings.ContainsAny(o.help, "`|") {
			t.Errorf("%s: its meaning is no sentence, or breaks a table: %s", o.key, o.help)
		}
	}
	if len(keys) != fields {
		t.Errorf("%d keys for %d fields", len(keys), fields)
	}
}

func TestPrecedence(t *testing.T) {
	const file = "deliver:\n  topic: file\n  brokers: [f1:1, f2:2]\n"
	tests := []struct {
		name    string
		given   given
		topic   string
		brokers []string
		origin  string // of the topic
	}{
		{"nothing said", given{}, "dns", nil, "default"},
		{"the file changes the default", given{file: file}, "file", []string{"f1:1", "f2:2"},
			"dnsluice.yaml:2"},
		{"the environment overrides the file", given{file: file, env: []string{
			"DNSLUICE_DELIVER_TOPIC=env", "DNSLUICE_DELIVER_BROKERS=e1:1, e2:2"}},
			"env", []string{"e1:1", "e2:2"}, "DNSLUICE_DELIVER_TOPIC"},
		{"an empty variable counts as not set", given{file: file, env: []string{
			"DNSLUICE_DELIVER_TOPIC=", "DNSLUICE_DELIVER_BROKERS="}},
			"file", []string{"f1:1", "f2:2"}, "dnsluice.yaml:2"},
		{"a flag overrides both, and a list is replaced, not extended", given{file: file,
			env:  []string{"DNSLUICE_DELIVER_TOPIC=env", "DNSLUICE_DELIVER_BROKERS=e1:1"},
			args: []string{"--topic", "flag", "--brokers", "g1:1,g2:2", "--brokers=g3:3"}},
			"flag", []string{"g1:1", "g2:2", "g3:3"}, "--topic"},
		{"a flag that says the default overrides too", given{file: file,
			args: []string{"--topic=dns"}}, "dns", []string{"f1:1", "f2:2"}, "--topic"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.given.load(t)
			if err != nil {
				t.Fatal(err)
			}
			if got.Deliver.Topic != test.topic || got.Origin("deliver.topic") != test.origin {
				t.Errorf("topic %q from %s, want %q from %s", got.Deliver.Topic,
					got.Origin("deliver.topic"), test.topic, test.origin)
			}
			if diff := cmp.Diff(test.brokers, got.Deliver.Brokers); diff != "" {
				t.Errorf("brokers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheEnvironmentSetsEveryKey(t *testing.T) {
	want := everythingWant()
	want.Capture.Read = []string{"-", "b.pcap"} // a comma ends a name here
	// A secret is not written into the variables that this test makes; a word in its place is.
	want.SASL.Password, want.SASL.ClientSecret = NewSecret(redacted), NewSecret(redacted)
	var env []string
	for _, o := range options(&want) {
		env = append(env, o.env()+"="+strings.Join(o.value.words(), ","))
	}
	got, err := given{env: env}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestTheEnvironmentMayNameTheFile(t *testing.T) {
	g := given{env: []string{"DNSLUICE_CONFIG=" + fileName}}
	set := pflag.NewFlagSet("run", pflag.ContinueOnError)
	Bind(set)
	got, err := Load(set, g.env, func(string) ([]byte, error) { return []byte("sensor: ns1"), nil })
	if err != nil || got.Sensor != "ns1" {
		t.Errorf("sensor %v, error %v", got, err)
	}
	got, err = Load(nil, g.env, func(string) ([]byte, error) { return []byte("sensor: ns1"), nil })
	if err != nil || got.Sensor != "ns1" {
		t.Errorf("without flags: sensor %v, error %v", got, err)
	}
}

func TestAStrangerInTheEnvironmentIsWarnedOf(t *testing.T) {
	got, err := given{env: []string{"DNSLUICE_DELIVER_BROKER=k1:9092", "DNSLUICE_TOPIC=x", "PATH=/",
		"DNSLUICE_SERVICE_HOST=10.0.0.1", "DNSLUICE_DELIVER=x"}}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	const ignored = " in the environment is no key and is ignored"
	want := []string{
		"config: DNSLUICE_DELIVER_BROKER" + ignored + "; did you mean DNSLUICE_DELIVER_BROKERS?",
		"config: DNSLUICE_TOPIC" + ignored + "; did you mean DNSLUICE_DELIVER_TOPIC?",
		"config: DNSLUICE_SERVICE_HOST" + ignored,
		"config: DNSLUICE_DELIVER" + ignored,
	}
	if diff := cmp.Diff(want, got.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestBindDefinesTheFlagsOfTheArchitecture(t *testing.T) {
	set := pflag.NewFlagSet("run", pflag.ContinueOnError)
	Bind(set)
	var got []string
	set.VisitAll(func(f *pflag.Flag) { got = append(got, f.Name+" "+f.Value.Type()+" "+f.DefValue) })
	want := []string{"brokers list ", "compression string snappy", "config string ",
		"delivery string at-least-once", "dnstap string ", "emit string messages", "format string json",
		"grace duration 10s", "http string 127.0.0.1:9953", "interface string ", "key string none", "ledger string ", "memory size 96MiB",
		"ports list 53", "read string ", "sasl-mechanism string none", "sasl-password-file string ",
		"sasl-user string ", "sensor string the host's name", "spool-dir string ", "spool-max size 0",
		"tls bool true with tls.ca, cert, key or server_name, else false", "tls-ca string ",
		"tls-cert string ", "tls-key string ", "topic string dns", "tunnels list none on interfaces, all in files"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}

func TestBindDefinesOnlyTheFlagsAskedFor(t *testing.T) {
	set := pflag.NewFlagSet("read", pflag.ContinueOnError)
	Bind(set, "capture.ports")
	set.String("topic", "not ours", "")
	if err := set.Parse([]string{"--ports=53,5353", "--topic=x"}); err != nil {
		t.Fatal(err)
	}
	if set.Lookup("brokers") != nil {
		t.Error("--brokers is defined")
	}
	got, err := Load(set, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint16{53, 5353}, got.Capture.Ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	if got.Deliver.Topic != "dns" {
		t.Errorf("topic %q is of a flag that is not ours", got.Deliver.Topic)
	}
}

func TestAFlagOfTheWrongTypeIsAMistakeInTheUse(t *testing.T) {
	for args, want := range map[string]string{
		"--ports=53,dns": `"dns" is not a port from 1 to 65535`,
		"--ports=65536":  `"65536" is not a port from 1 to 65535`,
		"--memory=96M":   `"96M" is not a size such as 900kB or 96MiB`,
		"--grace=10":     `"10" is not a duration such as 100ms, 10s or 24h`,
	} {
		set := pflag.NewFlagSet("run", pflag.ContinueOnError)
		Bind(set)
		if err := set.Parse([]string{args}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %s in it", args, err, want)
		}
	}
}

func TestAFileNameMayHoldAComma(t *testing.T) {
	got, err := given{args: []string{"--read", "a,b.pcap", "--read=c.pcap"}}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a,b.pcap", "c.pcap"}, got.Capture.Read); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestLoadsShareNothing(t *testing.T) {
	a, err := given{}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	a.Capture.Ports[0] = 1
	b, err := given{}.load(t)
	if err != nil || b.Capture.Ports[0] != 53 {
		t.Errorf("ports %v, error %v", b.Capture.Ports, err)
	}
}

// lines returns the mistakes of an error, one a line, as a user sees them.
func lines(t *testing.T, err error) string {
	t.Helper()
	var m Mistakes
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &m):
		t.Fatalf("error is no Mistakes: %v", err)
	}
	return err.Error()
}

func TestMistakesInTheFileNameLineAndKey(t *testing.T) {
	tests := []struct {
		name, file, want string
	}{
		{"an unknown key", "deliver:\n  linger: 1s\n  lingerr: 2s\n",
			"config: dnsluice.yaml:3: deliver.lingerr: is not known; did you mean deliver.linger?"},
		{"a key in the wrong section", "topic: dns\n",
			"config: dnsluice.yaml:1: topic: is not known; did you mean deliver.topic?"},
		{"a flag's name for a key's", "capture: {interface: [eth0]}\n",
			"config: dnsluice.yaml:1: capture.interface: is not known; " +
				"did you mean capture.interfaces?"},
		{"an unknown section", "\ndelivr:\n  topic: dns\n",
			"config: dnsluice.yaml:2: delivr: is not known; did you mean deliver?"},
		{"a key like no other", "kafka: {}\n", "config: dnsluice.yaml:1: kafka: is not known"},
		{"a section below a section", "ops:\n  capture: {}\n",
			"config: dnsluice.yaml:2: ops.capture: is not known; did you mean capture?"},
		{"a key given twice", "sensor: a\nops: {}\nsensor: b\n",
			"config: dnsluice.yaml:3: sensor: is given twice, first in line 1"},
		{"a key given in its section and with a dot", "ops: {http: off}\nops.http: :1\n",
			"config: dnsluice.yaml:2: ops.http: is given twice, first in line 1"},
		{"a number for a text", "deliver:\n  topic: 53\n",
			`config: dnsluice.yaml:2: deliver.topic: want text, not the number "53"; ` +
				`put it in quotes: "53"`},
		{"a truth value for a text", "sensor: true\n",
			`config: dnsluice.yaml:1: sensor: want text, not the truth value "true"; ` +
				`put it in quotes: "true"`},
		{"nothing for a text", "sensor:\n",
			"config: dnsluice.yaml:1: sensor: want text, not nothing"},
		{"a text for a truth value", "capture:\n  promiscuous: \"yes\"\n",
			`config: dnsluice.yaml:2: capture.promiscuous: want true or false, not the text "yes"`},
		{"a text for a number", "capture: {lanes: many}\n",
			`config: dnsluice.yaml:1: capture.lanes: want a whole number, not the text "many"`},
		{"a number that is not whole", "capture: {lanes: 1.5}\n",
			`config: dnsluice.yaml:1: capture.lanes: want a whole number, not the number "1.5"`},
		{"a size without a known unit", "ops: {memory: 96 megs}\n",
			`config: dnsluice.yaml:1: ops.memory: "96 megs" is not a size such as 900kB or 96MiB`},
		{"a duration without a unit", "deliver: {grace: 10}\n",
			`config: dnsluice.yaml:1: deliver.grace: "10" is not a duration such as ` +
				"100ms, 10s or 24h"},
		{"one word for a list", "deliver: {brokers: 'k1:9092'}\n",
			`config: dnsluice.yaml:1: deliver.brokers: want a list such as ` +
				`[k1:9092, k2:9092], not the text "k1:9092"`},
		{"a list for one word", "deliver:\n  topic: [dns]\n",
			"config: dnsluice.yaml:2: deliver.topic: want text, not a list"},
		{"a port that is none, in its own line", "capture:\n  ports:\n  - 53\n  - dns\n",
			"config: dnsluice.yaml:4: capture.ports: " +
				`want a port from 1 to 65535, not the text "dns"`},
		{"a port that is too large", "capture: {ports: [65536]}\n",
			`config: dnsluice.yaml:1: capture.ports: "65536" is not a port from 1 to 65535`},
		{"a list for a section", "ops: [x]\n",
			"config: dnsluice.yaml:1: ops: want keys and their values, not a list"},
		{"a list for the whole", "- x\n",
			"config: dnsluice.yaml:1: want keys and their values, not a list"},
		{"no YAML", "sensor: a\n\tb: c\n", "config: dnsluice.yaml:2: " +
			"found a tab character that violates indentation"},
		{"no YAML in line 1", "a: b: c\n", "config: dnsluice.yaml:1: " +
			"mapping values are not allowed in this context"},
		{"two documents", "sensor: a\n---\nsensor: b\n",
			"config: dnsluice.yaml: more than one YAML document; one is enough"},
		{"a wrong value, of the right type", "deliver:\n  compression: lzo\n",
			`config: dnsluice.yaml:2: deliver.compression: "lzo" is not known; ` +
				"use snappy, zstd, lz4, gzip, none"},
		{"an alias that holds itself", "deliver: {brokers: &a [*a]}\n",
			"config: dnsluice.yaml:1: deliver.brokers: want text, not a list"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := given{file: test.file}.load(t)
			if diff := cmp.Diff(test.want, lines(t, err)); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFilesThatSayNothingAreFine(t *testing.T) {
	for _, file := range []string{"# a comment\n", "---\n", "{}", "capture:\n  # lanes: 3\n", "~"} {
		got, err := given{file: file}.load(t)
		if err != nil {
			t.Errorf("%q: %v", file, err)
			continue
		}
		if diff := cmp.Diff(Default(), got.Config); diff != "" {
			t.Errorf("%q (-default +got):\n%s", file, diff)
		}
	}
}

func TestAnAliasStandsForItsValue(t *testing.T) {
	got, err := given{file: "sensor: &name ns1\ndeliver: {topic: *name}\n"}.load(t)
	if err != nil || got.Deliver.Topic != "ns1" {
		t.Errorf("%v, error %v", got, err)
	}
}

func TestAFileThatIsNotThereIsAMistake(t *testing.T) {
	// And the only one: the broker may stand there.
	_, err := given{args: []string{"--config=none.yaml"}}.load(t, Config.Runnable)
	want := "config: read the configuration file: open none.yaml: file does not exist"
	if diff := cmp.Diff(want, lines(t, err)); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

func TestAllMistakesComeAtOnceEachWithItsPlace(t *testing.T) {
	_, err := given{
		file: "sensr: a\ndeliver:\n  topic: 1\n  linger: 2h\n",
		env:  []string{"DNSLUICE_OPS_PPROF=maybe", "DNSLUICE_OPS_LOG_LEVEL=loud"},
		args: []string{"--memory", "2000GiB"},
	}.load(t, Config.Runnable)
	want := `config: dnsluice.yaml:1: sensr: is not known; did you mean sensor?
config: dnsluice.yaml:3: deliver.topic: want text, not the number "1"; put it in quotes: "1"
config: DNSLUICE_OPS_PPROF: ops.pprof: "maybe" is not true or false
config: dnsluice.yaml:4: deliver.linger: 2h is not from 0s to 1m
config: --memory: ops.memory: 2000GiB is more than a sensor can use; use 1024GiB or less
config: DNSLUICE_OPS_LOG_LEVEL: ops.log_level: "loud" is not known; use debug, info, warn, error
config: capture.interfaces: nothing to capture; give an interface (--interface eth0), ` +
		`a file (--read dns.pcap) or a socket (--dnstap unix:///run/dnsluice.sock)
config: deliver.brokers: nowhere to deliver to; give a broker (--brokers host:9092)`
	if diff := cmp.Diff(want, lines(t, err)); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

func TestAKeyWithAMistakeHasNoSecondOne(t *testing.T) {
	_, err := given{file: "deliver: {brokers: k1}\ncapture: {interfaces: [e]}\n"}.load(t,
		Config.Runnable)
	want := "config: dnsluice.yaml:1: deliver.brokers: " +
		`want a list such as [k1:9092, k2:9092], not the text "k1"`
	if diff := cmp.Diff(want, lines(t, err)); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

func TestACheckOfTheCallerMayReturnAnyError(t *testing.T) {
	_, err := given{}.load(t, func(Config) error { return errors.New("not today") })
	if diff := cmp.Diff("config: not today", lines(t, err)); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

func TestAFileThatIsNoConfigurationIsNotReadToItsEnd(t *testing.T) {
	name := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(name, bytes.Repeat([]byte("# much\n"), maxFile/7), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := ReadFile(name); len(data) != maxFile/7*7 || err != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	// A sparse file has no end that a reader would reach in time.
	if err := os.Truncate(name, 1<<40); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(name); err == nil || !strings.Contains(err.Error(), "is it the right file?") {
		t.Errorf("says %v", err)
	}
}

func TestARunOverFilesHasNoHeartbeatsUnlessAskedFor(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  []string
		want time.Duration
	}{
		{[]string{"--interface=eth0"}, nil, 10 * time.Second},
		{[]string{"--read=a.pcap"}, nil, 0},
		{[]string{"--read=a.pcap"}, []string{"DNSLUICE_DELIVER_HEARTBEAT=10s"}, 10 * time.Second},
	} {
		got, err := given{args: c.args, env: c.env}.load(t)
		if err != nil || got.Deliver.Heartbeat != c.want {
			t.Errorf("%v %v: %v, %v", c.args, c.env, got, err)
		}
	}
}
