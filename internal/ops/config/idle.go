// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
)

// Idle returns a sentence for each value that was given, is not the default, and changes nothing
// because of what else was, or was not, given. That is no mistake: a file may serve several sensors.
func (l *Loaded) Idle() []string {
	standard := Default()
	defaults := options(&standard)
	var all []string
	for i, o := range options(&l.Config) {
		if l.Origin(o.key) == FromDefault || slices.Equal(o.value.words(), defaults[i].value.words()) {
			continue
		}
		if needs := l.needs(o.key); needs != "" {
			all = append(all, "config: "+l.Origin(o.key)+": "+o.key+" changes nothing without "+needs)
		}
	}
	return all
}

// needs returns what a key has no effect without, if that is not given.
func (c Config) needs(key string) string {
	uses := func(scheme string) bool {
		return slices.ContainsFunc(c.Capture.DNSTap.Listen, func(address string) bool {
			return strings.HasPrefix(address, scheme)
		})
	}
	switch key {
	case "spool.dir": // the sensor says so itself
	case "spool.max", "spool.min_free", "spool.max_age", "spool.fsync", "spool.segment",
		"deliver.spool_after":
		return unless(c.Spool.Dir != "" && c.Deliver.Mode != AtMostOnce, "a spool (spool.dir)")
	case "match.timeout", "match.memory":
		return unless(c.Match.Transactions(), "match.emit: transactions")
	case "capture.promiscuous", "capture.ring_size":
		return unless(len(c.Capture.Interfaces) > 0, "an interface (capture.interfaces)")
	case "capture.dnstap_connections":
		return unless(len(c.Capture.DNSTap.Listen) > 0, "a socket (capture.dnstap)")
	case "capture.dnstap_socket_mode":
		return unless(uses("unix://"), "a unix socket (capture.dnstap)")
	case "capture.dnstap_tls_cert", "capture.dnstap_tls_key", "capture.dnstap_tls_client_ca":
		return unless(uses("tls://"), "a tls socket (capture.dnstap)")
	case "deliver.dead_letter_max":
		return unless(c.Deliver.DeadLetter != Off && c.Deliver.DeadLetter+c.Spool.Dir != "",
			"a dead-letter file (deliver.dead_letter, or spool.dir)")
	case "ops.pprof":
		return unless(c.Ops.HTTP != Off, "ops.http")
	}
	return ""
}

func unless(there bool, what string) string {
	if there {
		return ""
	}
	return what
}
