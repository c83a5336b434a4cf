# SPDX-License-Identifier: Apache-2.0
"""What record.sh needs and no common tool does. Called by record.sh only.

record.py switch PORT:TAGS TRUNK      a VLAN switch: frames that enter at PORT leave at TRUNK with
                                      TAGS (7 or 20.7), frames that enter at TRUNK leave at PORT
                                      without. In user space, as not every kernel has 8021q.
record.py tun NAME PID NAME PID       a tunnel device in the network namespace of each process,
                                      joined: what one sends the other receives.
record.py options SOURCE SERVER       queries over IPv6 with hop-by-hop and destination options.
record.py pipeline SOURCE SERVER HOW  queries over TCP: `together` in one segment, `split` in the
                                      middle of messages and of a length prefix.
record.py impersonal FILE             overwrites what a pcapng file says of the machine: processor
                                      and kernel, in options whose place and length stay.
"""
import ctypes
import fcntl
import os
import select
import socket
import struct
import sys
import time

ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA = 263, 8
TP_STATUS_VLAN_VALID = 1 << 4
PACKET_OUTGOING = 4


def packet_socket(interface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.bind((interface, 0))
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    return s


def receive(s):
    """The frame as it was on the wire: the kernel hands the outer VLAN tag over beside it."""
    frame, control, _, source = s.recvmsg(65536, 256)
    if source[2] == PACKET_OUTGOING:
        return None
    for level, kind, data in control:
        if level != SOL_PACKET or kind != PACKET_AUXDATA:
            continue
        status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data[:20])
        if status & TP_STATUS_VLAN_VALID:
            frame = frame[:12] + struct.pack("!HH", tpid or 0x8100, tci) + frame[12:]
    return frame


def switch(port, trunk):
    port, tags = port.split(":")
    tags = [int(t) for t in tags.split(".")]
    # With two tags the outer one is a service tag (IEEE 802.1ad).
    tpids = [0x8100] if len(tags) == 1 else [0x88A8, 0x8100]
    tag = b"".join(struct.pack("!HH", p, t) for p, t in zip(tpids, tags))
    port, trunk = packet_socket(port), packet_socket(trunk)
    print("ready", flush=True)
    while True:
        for s in select.select([port, trunk], [], [])[0]:
            frame = receive(s)
            if frame is None:
                continue
            if s is port:
                trunk.send(frame[:12] + tag + frame[12:])
            elif frame[12:12 + len(tag)] == tag:
                port.send(frame[:12] + frame[12 + len(tag):])


def tun_device(name, pid):
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(there, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    fd = os.open("/dev/net/tun", os.O_RDWR)
    tunsetiff, iff_tun, iff_no_pi = 0x400454CA, 1, 0x1000
    fcntl.ioctl(fd, tunsetiff, struct.pack("16sH22x", name.encode(), iff_tun | iff_no_pi))
    libc.setns(home, 0)
    return fd


def tun(name1, pid1, name2, pid2):
    a, b = tun_device(name1, pid1), tun_device(name2, pid2)
    print("ready", flush=True)
    while True:
        for fd in select.select([a, b], [], [])[0]:
            packet = os.read(fd, 65536)
            try:
                os.write(b if fd == a else a, packet)
            except OSError:
                pass  # the other end is not up yet


def query(number, name, qtype):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!xHH", qtype, 1)


def options(source, server):
    # Next header (the kernel fills it in), length in 8 bytes beyond the first 8, options: PadN of
    # 6 bytes (RFC 8200, 4.2; Linux drops more than 7 in a row), an experimental one of 14 (0x1e,
    # RFC 4727, which says: skip it if unknown).
    pad8 = bytes([0, 0, 1, 4]) + bytes(4)
    other16 = bytes([0, 1, 0x1E, 12]) + bytes(range(12))
    ways = [
        [(socket.IPV6_HOPOPTS, pad8)],
        [(socket.IPV6_DSTOPTS, other16)],
        [(socket.IPV6_HOPOPTS, pad8), (socket.IPV6_DSTOPTS, pad8)],
    ]
    for number, way in enumerate(ways):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            for option, value in way:
                s.setsockopt(socket.IPPROTO_IPV6, option, value)
            s.bind((source, 46000 + number))
            s.settimeout(3)
            s.sendto(query(0x6600 + number, "www.knot.example", 28), (server, 53))
            s.recv(65536)


def pipeline(source, server, how):
    names = ["ns.knot.example", "www.knot.example", "missing.knot.example", "many.knot.example"]
    messages = [query(0x7700 + i, name, 1) for i, name in enumerate(names)]
    stream = b"".join(struct.pack("!H", len(m)) + m for m in messages)
    # In the middle of a name, inside the second length prefix, between two messages, one byte.
    first = 2 + len(messages[0])
    second = first + 2 + len(messages[1])
    cuts = {"together": [], "split": [20, first + 1, second, second + 1]}[how]
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET) as s:
        s.bind((source, {"together": 47000, "split": 47001}[how]))
        s.settimeout(3)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.connect((server, 53))
        for start, end in zip([0] + cuts, cuts + [len(stream)]):
            s.sendall(stream[start:end])
            time.sleep(0.02)
        for _ in messages:
            length = struct.unpack("!H", read_full(s, 2))[0]
            read_full(s, length)


def read_full(s, n):
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            raise EOFError("the server closed the connection")
        data += part
    return data


def impersonal(path):
    with open(path, "r+b") as f:
        data = bytearray(f.read())
        at = 0
        while at < len(data):
            kind, size = struct.unpack_from("=II", data, at)
            # Where the options begin, and which of them speak of the machine: shb_hardware and
            # shb_os of a section header, if_os and if_hardware of an interface.
            start, codes = {0x0A0D0D0A: (24, (2, 3)), 1: (16, (12, 15))}.get(kind, (size, ()))
            option = at + start
            while option < at + size - 4:
                code, length = struct.unpack_from("=HH", data, option)
                if code in codes:
                    data[option + 4:option + 4 + length] = b"-" * length
                option += 4 + (length + 3) // 4 * 4
            at += size
        f.seek(0)
        f.write(data)


if __name__ == "__main__":
    {"switch": switch, "tun": tun, "options": options, "pipeline": pipeline,
     "impersonal": impersonal}[sys.argv[1]](*sys.argv[2:])
