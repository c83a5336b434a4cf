// SPDX-License-Identifier: Apache-2.0

// Package decode is stage 2 of the path: a frame goes in, the DNS messages in it come out. The
// layers are folders of their own, in the order of a frame: link, ip, defrag, tunnel, tcpstream,
// wire. None knows another; this package leads from one to the next, and from a tunnel back to link
// or ip, so that they nest as they do on the wire.
//
// It owns the one Message that it fills and the memory of that message's questions and records,
// and borrows all bytes from the packet. It may drop a packet for one of its Reasons, each
// counted. It never drops a message that is malformed: it emits what could be read of it.
package decode
