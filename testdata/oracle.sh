#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints what tshark sees in a capture: one line per DNS message, in frame order, for the tests
# that compare our decoder with it. The columns are described in README.md.
#
#   testdata/oracle.sh FILE > FILE.tsv
#
# PDML and not `-T fields`: with several messages in a frame the columns of the latter no longer
# belong together. Checksums are not looked at, TCP and fragments are put together.
set -euo pipefail

[ $# = 1 ] || { echo "usage: $0 FILE" >&2; exit 2; }
for tool in tshark python3; do
  command -v $tool > /dev/null || { echo "oracle.sh: apt-get install $tool" >&2; exit 1; }
done

tshark -n -r "$1" -T pdml -Y dns \
  -o tcp.desegment_tcp_streams:TRUE -o tcp.reassemble_out_of_order:TRUE \
  -o dns.desegment_dns_messages:TRUE -o ip.defragment:TRUE -o ipv6.defragment:TRUE \
  -o ip.check_checksum:FALSE -o udp.check_checksum:FALSE -o tcp.check_checksum:FALSE \
  2> >(grep -v 'Running as user' >&2) |
  python3 -c '
import sys
import xml.etree.ElementTree as ET

COLUMNS = ("frame time src dst transport sport dport id flags qd an ns ar "
           "qname qtype qclass dns_len qname_hex malformed cut")


def show(parent, *names):
    """The first field of one of these names, at any depth."""
    for field in parent.iter("field"):
        if field.get("name") in names:
            return field.get("show")
    return ""


def line(packet, index):
    protos = list(packet)
    dns = protos[index]
    # The innermost IP and transport before the message.
    below = {p.get("name"): p for p in protos[:index]}
    ip = [p for p in protos[:index] if p.get("name") in ("ip", "ipv6")][-1]
    transport = "tcp" if "tcp" in below else "udp"
    header = below[transport]
    family = ip.get("name")
    names = [f for f in dns.iter("field") if f.get("name") == "dns.qry.name"]
    whole = show(packet, "frame.len") == show(packet, "frame.cap_len")
    prefix = 2 if transport == "tcp" else 0
    question = (show(dns, "dns.qry.name"), show(dns, "dns.qry.type"), show(dns, "dns.qry.class"))
    return [
        show(packet, "frame.number"), show(packet, "frame.time_epoch"),
        show(ip, family + ".src"), show(ip, family + ".dst"), transport,
        show(header, transport + ".srcport"), show(header, transport + ".dstport"),
        show(dns, "dns.id"), show(dns, "dns.flags"),
        # An update (RFC 2136) calls its sections differently.
        show(dns, "dns.count.queries", "dns.count.zones"),
        show(dns, "dns.count.answers", "dns.count.prerequisites"),
        show(dns, "dns.count.auth_rr", "dns.count.updates"),
        show(dns, "dns.count.add_rr"),
        question[0].encode("unicode_escape").decode(), question[1], question[2],
        str(int(dns.get("size")) - prefix),
        names[0].get("value", "") if names else "",
        str(int("_ws.malformed" in [p.get("name") for p in protos[index + 1:index + 2]])),
        str(int(not whole)),
    ]


print("#" + "\t".join(COLUMNS.split()))
for _, packet in ET.iterparse(sys.stdin.buffer):
    if packet.tag != "packet":
        continue
    for index, proto in enumerate(packet):
        if proto.get("name") == "dns":
            print("\t".join(line(packet, index)))
    packet.clear()
'
