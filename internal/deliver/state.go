// SPDX-License-Identifier: Apache-2.0

package deliver

// State is the one thing to say about delivery at a time.
type State string

// The states that delivery can tell by itself. The others of the design belong to capture.
const (
	Flowing           State = "flowing"             // records are acknowledged
	Idle              State = "idle"                // nothing to deliver
	Connecting        State = "connecting"          // started, and the cluster was not reached yet, or has acknowledged nothing
	Unreachable       State = "unreachable"         // no broker takes a connection, or keeps one
	Unresolvable      State = "unresolvable"        // no broker's name resolves
	TLSFailed         State = "tls_failed"          // the TLS handshake fails
	AuthFailed        State = "auth_failed"         // the broker does not accept who we are
	Unauthorized      State = "unauthorized"        // it does, and does not let us write
	TopicMissing      State = "topic_missing"       // the topic does not exist
	NoAnswer          State = "no_answer"           // connected, but the broker does not reply
	NotEnoughReplicas State = "not_enough_replicas" // fewer in-sync replicas than the topic demands
	NoLeaderState     State = "no_leader"           // partitions without a leader
	Throttled         State = "throttled"           // a broker asks for pauses: a quota
	BrokerError       State = "broker_error"        // the broker answers with an error it may get over, or in what is not Kafka
	ClockWrong        State = "clock_wrong"         // the broker refuses records of this very moment
	RejectedState     State = "rejected"            // records that no broker will take were dropped
	Spooling          State = "spooling"            // records wait on disk, and are delivered from there
	DiskFull          State = "disk_full"           // the spool cannot be written
	Dropping          State = "dropping"            // records are dropped for lack of memory or disk
)

// Ready tells whether the state is one in which records get through.
func (s State) Ready() bool { return s == Flowing || s == Idle }

// advice says, for each state, what it means and what can be done.
var advice = map[State]string{
	Flowing:           "records are acknowledged by the brokers",
	Idle:              "there is nothing to deliver; the topic is reachable",
	Connecting:        "the cluster has not been reached yet, or has not acknowledged anything; records wait",
	Unreachable:       "no broker takes a connection, or keeps one: check that the brokers run and that nothing between filters the port",
	Unresolvable:      "no broker's name resolves: check the names and the resolver of this machine",
	TLSFailed:         "the TLS handshake with the brokers fails: check the certificates, their dates and the port",
	AuthFailed:        "the brokers refuse the credentials: check user, password and mechanism",
	Unauthorized:      "the brokers do not let this user write: grant WRITE and DESCRIBE on the topic and IDEMPOTENT_WRITE on the cluster",
	TopicMissing:      "the topic does not exist: create it, the records wait",
	NoAnswer:          "a broker takes the connection and does not answer in time: look at the broker and its disks",
	NotEnoughReplicas: "fewer replicas are in sync than min.insync.replicas demands: bring the brokers back",
	NoLeaderState:     "partitions have no leader: bring their brokers back",
	Throttled:         "a broker asks for pauses because of a quota: raise producer_byte_rate for this user or client id",
	BrokerError:       "the brokers answer with an error, or in what is not Kafka: see the last error, and their logs",
	ClockWrong:        "the brokers refuse even records with the time of now: set the clocks of this machine and of the brokers; the records wait",
	RejectedState:     "brokers refused batches for good; their records were dropped and counted",
	Spooling:          "records wait on disk and are delivered from there, oldest first, beside live traffic",
	DiskFull:          "the spool cannot be written, so records wait in memory alone: free or mend its disk",
	Dropping:          "brokers do not keep up or are away, and there is no room left to wait: records are dropped and counted",
}
