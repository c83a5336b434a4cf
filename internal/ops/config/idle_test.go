// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatChangesNothingIsSaid(t *testing.T) {
	const said = ` changes nothing without `
	for _, test := range []struct {
		name string
		file string
		want []string
	}{
		{"the limits of a spool that there is not", "spool: {max: 1GiB, fsync: always}\n", []string{
			"config: dnsluice.yaml:1: spool.max" + said + "a spool (spool.dir)",
			"config: dnsluice.yaml:1: spool.fsync" + said + "a spool (spool.dir)"}},
		{"or that is not used", "deliver: {mode: at-most-once}\nspool: {dir: /s, max_age: 1h}\n",
			[]string{"config: dnsluice.yaml:2: spool.max_age" + said + "a spool (spool.dir)"}},
		{"a time-out of nothing", "match: {timeout: 1s}\n",
			[]string{"config: dnsluice.yaml:1: match.timeout" + said + "match.emit: transactions"}},
		{"rings for files", "capture: {read: [a.pcap], ring_size: 16MiB, promiscuous: false}\n", []string{
			"config: dnsluice.yaml:1: capture.promiscuous" + said + "an interface (capture.interfaces)",
			"config: dnsluice.yaml:1: capture.ring_size" + said + "an interface (capture.interfaces)"}},
		{"sockets of another kind", "capture: {dnstap: ['tcp://127.0.0.1:1'], dnstap_socket_mode: '0600',\n" +
			"  dnstap_tls_client_ca: /x}\n",
			[]string{
				"config: dnsluice.yaml:1: capture.dnstap_socket_mode" + said + "a unix socket (capture.dnstap)",
				"config: dnsluice.yaml:2: capture.dnstap_tls_client_ca" + said + "a tls socket (capture.dnstap)"}},
		{"the size of no file, profiles of no server",
			"deliver: {dead_letter_max: 1MiB}\nops: {http: 'off', pprof: true}\n" +
				"capture: {dnstap_connections: 3}\n",
			[]string{
				"config: dnsluice.yaml:3: capture.dnstap_connections" + said + "a socket (capture.dnstap)",
				"config: dnsluice.yaml:1: deliver.dead_letter_max" + said +
					"a dead-letter file (deliver.dead_letter, or spool.dir)",
				"config: dnsluice.yaml:2: ops.pprof" + said + "ops.http"}},
		{"what is as it would be anyway", "spool: {fsync: interval}\nmatch: {timeout: 5s}\n", nil},
		{"what is used", "spool: {dir: /s, max: 1GiB}\nmatch: {emit: transactions, timeout: 1s}\n" +
			"capture: {interfaces: [eth0], ring_size: 16MiB}\ndeliver: {dead_letter_max: 1MiB}\n", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := given{file: test.file}.load(t)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Idle()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheConfigurationOfNobodyIsNotIdle(t *testing.T) {
	got, err := given{}.load(t)
	if err != nil || got.Idle() != nil {
		t.Errorf("%v, %v", got.Idle(), err)
	}
}
