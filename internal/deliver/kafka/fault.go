// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/dnsluice/dnsluice/internal/deliver"
)

// clusterFault classifies an error that came instead of an answer of any broker.
func (c *Client) clusterFault(err error) *deliver.Fault {
	err = c.seen.farthest(c.seen.connecting(anyBroker, err))
	f := &deliver.Fault{State: transportState(err), Verdict: deliver.Unsent, Where: "cluster", Err: err}
	// A broker that wants to know first who we are answers which versions it speaks, and closes
	// the connection at the next request. The client has a type for it, but only words for which
	// of the reasons it suspects.
	var eof *kgo.ErrFirstReadEOF
	if errors.As(err, &eof) && strings.Contains(eof.Error(), "is SASL missing?") {
		f.State = deliver.AuthFailed
	}
	if errors.Is(err, kerr.IllegalSaslState) { // its text names a state, and no reason
		f.Err = fmt.Errorf("%w (the port may be one without SASL)", err)
	}
	return c.given(f)
}

// given is f, unless the client was closed under the request: then its words tell nothing about the
// cluster, and that somebody gave it up for want of an answer is all there is to say.
func (c *Client) given(f *deliver.Fault) *deliver.Fault {
	if c.closed.Load() {
		f.State = deliver.NoAnswer
	}
	return f
}

// brokerFault classifies an error that came instead of the answer of node to a batch.
func (c *Client) brokerFault(node int32, err error, verdict deliver.Verdict, where string) *deliver.Fault {
	if verdict == deliver.Unsent {
		err = c.seen.connecting(node, err)
	} else {
		err = c.seen.reading(node, err)
	}
	f := &deliver.Fault{State: transportState(err), Verdict: verdict, Where: where, Err: err}
	// Where a broker wants a pause it reads nothing more (KIP-219), so what was under way when it said
	// so waits as long, and its time may be over before.
	if pause := c.link.pause(node); pause > 0 && f.State == deliver.NoAnswer {
		f.State, f.Err = deliver.Throttled, fmt.Errorf("%w (%w)", errPause{pause}, err)
	}
	return c.given(f)
}

func transportState(err error) deliver.State {
	var (
		dns    *net.DNSError
		op     *net.OpError
		auth   *authError
		secure *tlsError
	)
	switch {
	case errors.As(err, &auth):
		return deliver.AuthFailed
	case errors.As(err, &dns):
		return deliver.Unresolvable
	case errors.As(err, &secure):
		if secure.Timeout() {
			return deliver.NoAnswer // connected, and not a word
		}
		return deliver.TLSFailed
	case errors.As(err, &op) && op.Op == "remote error": // what crypto/tls makes of an alert
		return deliver.TLSFailed
	case strings.Contains(err.Error(), "tls alert record"):
		// A broker that wants TLS answers plain text with an alert, which the client takes for
		// the size of an answer. It sees what it is, and has no type for it.
		return deliver.TLSFailed
	case errors.Is(err, kerr.SaslAuthenticationFailed),
		errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return deliver.AuthFailed
	case strings.Contains(err.Error(), "broker is too old"),
		strings.Contains(err.Error(), "below the user defined min"):
		// The broker does not know a kind of request, or not in a version that we can speak.
		return deliver.BrokerError
	case senseless(err):
		return deliver.BrokerError
	case strings.Contains(err.Error(), "unknown broker"):
		// A partition is led by a node that the cluster does not list.
		return deliver.NoLeaderState
	case errors.As(err, &op) && op.Op == "dial":
		return deliver.Unreachable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return deliver.NoAnswer
	}
	return deliver.Unreachable
}

// senseless tells an answer that is none of Kafka: the connection stands, and what is at its other
// end is another service, or speaks out of turn. The client has words for it, and no type.
func senseless(err error) bool {
	for _, words := range []string{"correlation ID mismatch", "did not contain enough data",
		"invalid large response size", "invalid negative response size",
		"short response from ApiVersions", "invalidly contained no ApiKeys"} {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// codeFaults says what the error codes of the protocol mean for a batch. A code that is not
// here means that the batch may be there or not, and is sent again: nothing is ever dropped
// because of a code that we do not know.
var codeFaults = map[*kerr.Error]deliver.Fault{
	// These can be said of a batch that stands in the log: with acks=all a leader appends, waits
	// for its followers, and looks for the partition again. If it has moved meanwhile, the new
	// leader may well have the batch.
	kerr.UnknownTopicOrPartition: {State: deliver.TopicMissing, Verdict: deliver.Unknown},
	kerr.UnknownTopicID:          {State: deliver.TopicMissing, Verdict: deliver.Unknown},
	kerr.InconsistentTopicID:     {State: deliver.TopicMissing, Verdict: deliver.Unknown},

	kerr.NotLeaderForPartition: {State: deliver.NoLeaderState, Verdict: deliver.Unknown},
	kerr.LeaderNotAvailable:    {State: deliver.NoLeaderState, Verdict: deliver.Unknown},
	kerr.FencedLeaderEpoch:     {State: deliver.NoLeaderState, Verdict: deliver.Unknown},
	kerr.UnknownLeaderEpoch:    {State: deliver.NoLeaderState, Verdict: deliver.Unknown},

	// These are said before anything is appended.
	kerr.TopicAuthorizationFailed:           {State: deliver.Unauthorized, Verdict: deliver.Unsent},
	kerr.ClusterAuthorizationFailed:         {State: deliver.Unauthorized, Verdict: deliver.Unsent},
	kerr.TransactionalIDAuthorizationFailed: {State: deliver.Unauthorized, Verdict: deliver.Unsent},

	kerr.NotEnoughReplicas:            {State: deliver.NotEnoughReplicas, Verdict: deliver.Unsent},
	kerr.NotEnoughReplicasAfterAppend: {State: deliver.NotEnoughReplicas, Verdict: deliver.Unknown},

	kerr.RequestTimedOut: {State: deliver.NoAnswer, Verdict: deliver.Unknown},

	kerr.OutOfOrderSequenceNumber: {State: deliver.BrokerError, Verdict: deliver.Lost},
	kerr.UnknownProducerID:        {State: deliver.BrokerError, Verdict: deliver.Lost},
	kerr.InvalidProducerEpoch:     {State: deliver.BrokerError, Verdict: deliver.Lost},
	kerr.InvalidProducerIDMapping: {State: deliver.BrokerError, Verdict: deliver.Lost},
	kerr.ProducerFenced:           {State: deliver.BrokerError, Verdict: deliver.Lost},

	kerr.MessageTooLarge:    rejected(deliver.TooLarge),
	kerr.RecordListTooLarge: rejected(deliver.TooLarge),
	kerr.InvalidRecord:      rejected(deliver.RejectedByBroker),
	kerr.InvalidTimestamp: {State: deliver.RejectedState, Verdict: deliver.Rejected,
		Reason: deliver.RejectedByBroker, Time: true},
	kerr.PolicyViolation: rejected(deliver.RejectedByBroker),
}

func rejected(why deliver.Reason) deliver.Fault {
	return deliver.Fault{State: deliver.RejectedState, Verdict: deliver.Rejected, Reason: why}
}

// codeFault classifies an answer of the cluster.
func codeFault(code int16, where string) *deliver.Fault {
	err := kerr.TypedErrorForCode(code)
	f, known := codeFaults[err]
	if !known {
		f = deliver.Fault{State: deliver.BrokerError, Verdict: deliver.Unknown}
	}
	f.Where, f.Err = where, err
	return &f
}
