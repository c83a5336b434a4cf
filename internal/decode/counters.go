// SPDX-License-Identifier: Apache-2.0

package decode

import (
	"github.com/dnsluice/dnsluice/internal/decode/defrag"
	"github.com/dnsluice/dnsluice/internal/decode/dnstap"
	"github.com/dnsluice/dnsluice/internal/decode/ip"
	"github.com/dnsluice/dnsluice/internal/decode/link"
	"github.com/dnsluice/dnsluice/internal/decode/tcpstream"
	"github.com/dnsluice/dnsluice/internal/decode/tunnel"
	"github.com/dnsluice/dnsluice/internal/dnsmsg"
)

// Counters counts packets and messages since New. Packets = Carried + the sum of Dropped + Held.
type Counters struct {
	Packets uint64             // given to Decode
	Carried uint64             // of them, those that carried at least one message
	Dropped [NumReasons]uint64 // of them, those that carried none, by reason
	Held    uint64             // of them, those kept until others complete them

	Tunnels   [dnsmsg.NumTunnels]uint64 // layers of encapsulation taken off, by kind
	Fragments Fragments
	TCP       TCPCounters

	Messages  uint64                    // emitted, malformed ones included
	Malformed [dnsmsg.NumReasons]uint64 // of them, those with a fault, by its reason
}

// Fragments counts what became of datagrams that came in several.
type Fragments struct {
	Completed  uint64 // datagrams
	Duplicated uint64 // fragments that brought nothing new
	Overlapped uint64 // fragments of which a part was known before: the bytes that came first stay
}

// TCPCounters counts what happened to TCP streams.
type TCPCounters struct {
	Overlaps uint64 // segments of which some bytes had come before: the first were kept
	Gaps     uint64 // holes that were given up
	GapBytes uint64 // their sizes
	Resyncs  uint64 // messages found where no edge was known, the first of a stream included
	Forgot   uint64 // streams forgotten to make room
	Streams  uint64 // streams remembered now
}

// Add adds the counters of another decoder.
func (c *Counters) Add(o Counters) {
	c.Packets += o.Packets
	c.Carried += o.Carried
	c.Held += o.Held
	for r, n := range o.Dropped {
		c.Dropped[r] += n
	}
	for k, n := range o.Tunnels {
		c.Tunnels[k] += n
	}
	c.Fragments.Completed += o.Fragments.Completed
	c.Fragments.Duplicated += o.Fragments.Duplicated
	c.Fragments.Overlapped += o.Fragments.Overlapped
	c.TCP.Overlaps += o.TCP.Overlaps
	c.TCP.Gaps += o.TCP.Gaps
	c.TCP.GapBytes += o.TCP.GapBytes
	c.TCP.Resyncs += o.TCP.Resyncs
	c.TCP.Forgot += o.TCP.Forgot
	c.TCP.Streams += o.TCP.Streams
	c.Messages += o.Messages
	for r, n := range o.Malformed {
		c.Malformed[r] += n
	}
}

// addTCP adds what became of the packets that the streams held.
func (c *Counters) addTCP(s tcpstream.Stats) {
	c.Held += s.Held
	c.Carried += s.Carried
	for v, n := range s.Dropped {
		if n > 0 {
			c.Dropped[tcpReasons[v]] += n
		}
	}
	c.TCP = TCPCounters{
		Overlaps: s.Overlaps, Gaps: s.Gaps, GapBytes: s.GapBytes, Resyncs: s.Resyncs,
		Forgot: s.Forgot, Streams: s.Streams,
	}
}

// addFragments adds what became of the packets that waited for other fragments.
func (c *Counters) addFragments(f defrag.Counters) {
	c.Held += f.Held
	for why, n := range f.Evicted {
		c.Dropped[fragmentReasons[why]] += n
	}
	c.Fragments = Fragments{
		Completed: f.Completed, Duplicated: f.Duplicated, Overlapped: f.Overlapped,
	}
}

// Reason is why a packet carried no message. The set is closed and small, so that a reason
// indexes an array of counters.
type Reason uint8

// The reasons, from the outside of a frame inwards.
const (
	OK                Reason = iota // not dropped; its counter stays 0
	LinkTruncated                   // the bytes end inside the link header
	LinkUnknown                     // a link type that this program does not read
	LinkTags                        // more VLAN tags than it follows
	NotIP                           // ARP, LLDP, whatever is neither IP nor a tunnel looked into
	IPTruncated                     // the bytes end inside the IP header
	IPHeader                        // a version or length that no IP header has
	IPExtension                     // an extension header runs past the packet, or there are too many
	FragmentTimeout                 // other fragments of the datagram did not come in time
	FragmentBytes                   // it made room for newer fragments: their memory is bounded
	FragmentDatagrams               // it made room for newer fragments: too many datagrams waited
	FragmentInvalid                 // fragments that contradict each other, are empty or too long
	FragmentEnd                     // other fragments had not come when the source ended
	TunnelHeader                    // the header of a tunnel ends early or makes no sense
	TunnelDepth                     // more tunnels, one in the other, than are followed
	NotUDPTCP                       // ICMP, whatever is neither UDP, TCP nor a tunnel looked into
	UDPHeader                       // the bytes end inside the UDP header, or its length is below 8
	UDPEmpty                        // a datagram without payload
	TCPHeader                       // the bytes end inside the TCP header, or its length is below 20
	TCPEmpty                        // a segment without data: a handshake, an acknowledgement, a reset
	TCPPartial                      // a segment in which no message can be told to begin
	TCPDuplicate                    // a segment of bytes that came before: a retransmission, a keep-alive
	TCPRest                         // the rest of a message that was emitted cut, or given up
	TCPGap                          // a segment behind one that was not captured
	TCPCut                          // the snapshot length cut it where a message begins
	TCPOverflow                     // its stream may hold no more bytes
	TCPEvicted                      // other streams needed the memory
	TCPExpired                      // its message did not become whole in time
	TCPClosed                       // the connection, or the input, ended before its message did
	Port                            // neither side has one of the ports
	DNSTapFrame                     // a dnstap frame that is no protobuf message
	DNSTapEmpty                     // a dnstap frame without a DNS message
	NumReasons                      // how many there are; not a reason
)

var reasonNames = [NumReasons]string{
	OK:                "ok",
	LinkTruncated:     "link_truncated",
	LinkUnknown:       "link_unknown",
	LinkTags:          "link_tags",
	NotIP:             "not_ip",
	IPTruncated:       "ip_truncated",
	IPHeader:          "ip_header",
	IPExtension:       "ip_extension",
	FragmentTimeout:   "fragment_timeout",
	FragmentBytes:     "fragment_bytes",
	FragmentDatagrams: "fragment_datagrams",
	FragmentInvalid:   "fragment_invalid",
	FragmentEnd:       "fragment_end",
	TunnelHeader:      "tunnel_header",
	TunnelDepth:       "tunnel_depth",
	NotUDPTCP:         "not_udp_tcp",
	UDPHeader:         "udp_header",
	UDPEmpty:          "udp_empty",
	TCPHeader:         "tcp_header",
	TCPEmpty:          "tcp_empty",
	TCPPartial:        "tcp_partial",
	TCPDuplicate:      "tcp_duplicate",
	TCPRest:           "tcp_rest",
	TCPGap:            "tcp_gap",
	TCPCut:            "tcp_cut",
	TCPOverflow:       "tcp_overflow",
	TCPEvicted:        "tcp_evicted",
	TCPExpired:        "tcp_expired",
	TCPClosed:         "tcp_closed",
	Port:              "port",
	DNSTapFrame:       "dnstap_frame",
	DNSTapEmpty:       "dnstap_empty",
}

// String returns the word that metrics and the ledger use.
func (r Reason) String() string { return reasonNames[r] }

// What the layers say, as reasons. The layers keep sets of their own, so that none of them
// imports its parent.
var (
	linkReasons = [link.NumVerdicts]Reason{
		link.Truncated:   LinkTruncated,
		link.Unknown:     LinkUnknown,
		link.TooManyTags: LinkTags,
		link.NotIP:       NotIP,
	}
	ipReasons = [ip.NumVerdicts]Reason{
		ip.Truncated: IPTruncated,
		ip.Header:    IPHeader,
		ip.Extension: IPExtension,
	}
	tunnelReasons = [tunnel.NumVerdicts]Reason{
		tunnel.Truncated: TunnelHeader,
		tunnel.Header:    TunnelHeader,
		tunnel.NotIP:     NotIP,
	}
	fragmentReasons = [defrag.NumEvictions]Reason{
		defrag.Timeout:   FragmentTimeout,
		defrag.Bytes:     FragmentBytes,
		defrag.Datagrams: FragmentDatagrams,
		defrag.Conflict:  FragmentInvalid,
		defrag.End:       FragmentEnd,
	}
	dnstapReasons = [dnstap.NumVerdicts]Reason{
		dnstap.Malformed: DNSTapFrame,
		dnstap.Empty:     DNSTapEmpty,
	}
	tcpReasons = [tcpstream.NumVerdicts]Reason{
		tcpstream.Held:      held,
		tcpstream.Empty:     TCPEmpty,
		tcpstream.Partial:   TCPPartial,
		tcpstream.Duplicate: TCPDuplicate,
		tcpstream.Rest:      TCPRest,
		tcpstream.Gap:       TCPGap,
		tcpstream.Cut:       TCPCut,
		tcpstream.Overflow:  TCPOverflow,
		tcpstream.Evicted:   TCPEvicted,
		tcpstream.Expired:   TCPExpired,
		tcpstream.Closed:    TCPClosed,
	}
)
