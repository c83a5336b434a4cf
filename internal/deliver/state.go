// SPDX-License-Identifier: Apache-2.0

package deliver

import "time"

// State is the one thing to say about delivery at a time.
type State string

// The states that delivery can tell by itself. The others of the design belong to stages and
// stores that do not exist yet, or to the supervisor.
const (
	Flowing           State = "flowing"             // records are acknowledged
	Idle              State = "idle"                // nothing to deliver
	Connecting        State = "connecting"          // started, and the cluster was not reached yet
	Unreachable       State = "unreachable"         // no broker takes a connection
	Unresolvable      State = "unresolvable"        // no broker's name resolves
	TLSFailed         State = "tls_failed"          // the TLS handshake fails
	AuthFailed        State = "auth_failed"         // the broker does not accept who we are
	Unauthorized      State = "unauthorized"        // it does, and does not let us write
	TopicMissing      State = "topic_missing"       // the topic does not exist
	NoAnswer          State = "no_answer"           // connected, but the broker does not reply
	NotEnoughReplicas State = "not_enough_replicas" // fewer in-sync replicas than the topic demands
	NoLeaderState     State = "no_leader"           // partitions without a leader
	BrokerError       State = "broker_error"        // the broker answers with an error it may get over
	RejectedState     State = "rejected"            // records that no broker will take were dropped
	Dropping          State = "dropping"            // memory is full: the newest records are dropped
)

// Status is a state with its evidence.
type Status struct {
	State      State     `json:"state"`
	Since      time.Time `json:"since"`
	Sentence   string    `json:"sentence"`             // the state in words, with what can be done
	LastError  string    `json:"last_error,omitempty"` // the newest error, if the state has one
	LastAck    time.Time `json:"last_ack,omitzero"`    // when a broker last acknowledged
	OldestAge  float64   `json:"oldest_age_seconds"`   // of the oldest sealed batch that waits
	Partitions int       `json:"partitions"`           // of the topic; 0 until the cluster was reached
	Leaderless int       `json:"partitions_leaderless"`
	Waiting    int       `json:"batches_waiting"` // handed on and not acknowledged
	Free       int       `json:"batches_free"`    // memory left for new ones
}

// Ready tells whether the state is one in which records get through.
func (s State) Ready() bool { return s == Flowing || s == Idle }

// advice says, for each state, what it means and what can be done.
var advice = map[State]string{
	Flowing:           "records are acknowledged by the brokers",
	Idle:              "there is nothing to deliver; the topic is reachable",
	Connecting:        "the cluster has not been reached yet; records wait in memory",
	Unreachable:       "no broker takes a connection: check that the brokers run and that nothing between filters the port",
	Unresolvable:      "no broker's name resolves: check the names and the resolver of this machine",
	TLSFailed:         "the TLS handshake with the brokers fails: check the certificates, their dates and the port",
	AuthFailed:        "the brokers refuse the credentials: check user, password and mechanism",
	Unauthorized:      "the brokers do not let this user write: grant WRITE and DESCRIBE on the topic and IDEMPOTENT_WRITE on the cluster",
	TopicMissing:      "the topic does not exist: create it, the records wait in memory",
	NoAnswer:          "a broker takes the connection and does not answer in time: look at the broker and its disks",
	NotEnoughReplicas: "fewer replicas are in sync than min.insync.replicas demands: bring the brokers back",
	NoLeaderState:     "partitions have no leader: bring their brokers back",
	BrokerError:       "the brokers answer with an error: see their logs",
	RejectedState:     "brokers refused batches for good; their records were dropped and counted",
	Dropping:          "memory is full because the brokers do not keep up or are away: the newest records are dropped and counted",
}
