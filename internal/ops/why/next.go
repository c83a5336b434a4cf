// SPDX-License-Identifier: Apache-2.0

package why

import (
	"fmt"
	"strings"

	"github.com/dnsluice/dnsluice/internal/ops/ask"
)

// actions is what an operator can do in each state. The states are those of the sensor; the words
// are what links the two.
var actions = map[string][]string{
	"flowing": nil,
	"idle":    nil,
	"connecting": {"wait: the first answer of the cluster takes a few seconds; if it lasts, " +
		"dnsluice check says where it stops"},
	"unreachable": {"see that the brokers run and listen on the addresses in the last error",
		"see that no firewall is between: nc -vz HOST PORT from this machine",
		"brokers that moved need a new --brokers; names are resolved anew at each try"},
	"unresolvable": {"resolve the names on this machine: getent hosts NAME",
		"see which names the brokers advertise (advertised.listeners)"},
	"tls_failed": {"compare the certificate, its dates and its names: " +
		"openssl s_client -connect HOST:PORT -showcerts",
		"see that the port is the one for TLS; certificates are read again when their files change"},
	"auth_failed": {"put the right credentials into their files: they are read again",
		"see that the mechanism is enabled on the broker (sasl.enabled.mechanisms)"},
	"unauthorized": {"grant WRITE and DESCRIBE on the topic, and IDEMPOTENT_WRITE on the cluster " +
		"before Kafka 3.0: kafka-acls.sh --add --producer --topic TOPIC --allow-principal User:NAME"},
	"topic_missing": {"create the topic: kafka-topics.sh --create --topic TOPIC; " +
		"records go on by themselves then"},
	"no_answer": {"look at the broker whose connection has bytes that are not acknowledged, or was " +
		"last heard of long ago: its disk, its pauses, its network",
		"the sensor replaces its client by itself when a probe gets through and it does not",
		"if nothing was acknowledged yet, see that the port is Kafka's"},
	"not_enough_replicas": {"bring brokers back until min.insync.replicas are in sync: " +
		"kafka-topics.sh --describe --under-min-isr-partitions"},
	"no_leader": {"bring back the brokers that had the partitions named above: " +
		"kafka-topics.sh --describe --unavailable-partitions"},
	"throttled": {"raise producer_byte_rate for this user or client id (kafka-configs.sh), " +
		"or compress more (--compression zstd)"},
	"broker_error": {"see the logs of the broker in the last error, and that its address is Kafka's"},
	"clock_wrong": {"compare the clocks of this machine and of the brokers: date -u on both; " +
		"records go on by themselves when they agree",
		"if they do, the topic allows too little: message.timestamp.before.max.ms and .after.max.ms"},
	"rejected": {"see the dead-letter file for the records and the last error for the reason: " +
		"a limit of size, or a policy of the topic (compacted, it takes none without --key)",
		"where a partition takes none at all, one record each few seconds is tried and the others wait"},
	"spooling": {"nothing, if the backlog gets smaller: dnsluice top shows it",
		"else give the topic more partitions or the brokers more room: they take less than comes"},
	"disk_full":      {"free space where the spool is, or mend its disk: it is tried again by itself"},
	"dropping":       {"bring the brokers back, or make them keep up: the last error and dnsluice check say more"},
	"lane_stuck":     {"see the log for the goroutines; the service manager starts the sensor again"},
	"delivery_stuck": {"see the log for the goroutines; the service manager starts the sensor again"},
	"starved": {"see that nothing else empties the ring of this interface and that the sensor may " +
		"capture there; the log has more"},
	"capture_down": {"of an interface: bring it up, ip link set INTERFACE up; capture goes on by itself",
		"of a dnstap socket: see that its folder is there and the sensor's to write, that no other " +
			"process listens on it, and that enough files may be open"},
}

// hints are what to do first where the last error says more than the state that it led to.
var hints = []struct{ words, advice string }{
	{"too many open files", "raise how many files the sensor may open: LimitNOFILE=1024, or ulimit -n 1024"},
	{"is TLS expected on this port?", "if the brokers want TLS on this port, give --tls, and --tls-ca for an authority of your own"},
	{"the port may not speak TLS", "name the port that speaks TLS, or leave TLS out if that one is plain"},
}

// next returns what can be done about the state, and about what is wrong beside it.
func next(a ask.Answer) []string {
	all, known := actions[a.State.Name]
	if !known {
		all = []string{"see the log of the sensor, and what dnsluice check says"}
	}
	all = append([]string{}, all...)
	if a.State.Name == "dropping" && told(a) {
		all = append(all, "until then more room loses less: "+room(a.Detail.Delivery))
	}
	for _, h := range hints {
		if strings.Contains(a.Detail.Delivery.LastError, h.words) {
			all = append([]string{h.advice}, all...)
		}
	}
	for _, b := range a.Detail.Delivery.Behind {
		all = append(all, actions[b]...)
	}
	if n := kernel(a); n > 0 && n*1000 > a.Ledger.Packets {
		all = append(all, fmt.Sprintf("the kernel has dropped %.1f %% of the packets since the start: if dnsluice top "+
			"shows more, give lanes more ring (capture.ring_size) or the sensor more cores", 100*float64(n)/float64(max(a.Ledger.Packets, 1))))
	}
	if s := a.Detail.Delivery.Spool; s != nil && s.FullIn > 0 && s.FullIn < 3600 {
		more := "give it more room (--spool-max)"
		if s.Free < s.MaxBytes-min(s.Bytes, s.MaxBytes) {
			more = "free space on its disk"
		}
		all = append(all, "the spool is full within the hour, and the oldest records are dropped then: "+
			more+", or bring the brokers back first")
	}
	return all
}

// room says how there can be more of it for records that wait.
func room(d ask.Delivery) string {
	switch {
	case d.Once:
		return "--memory; at most once nothing waits on disk, which takes --delivery at-least-once"
	case d.Spool == nil:
		return "--spool-dir, or --memory"
	case d.Spool.Error != "": // a larger --spool-max is of no use to a disk that is full
		return "on the disk of the spool, or --memory"
	}
	return "--spool-max, or --memory"
}
