# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
#
# What record.sh records, topic by topic, and the tables it writes about it. Sourced by record.sh.

record_all() {
  recursion
  unbound_topics
  knot_topics
  bind_topics
  names
  zone_transfer
  dnsmasq_topics
  extensions
  tcp_streams
  fragments
  links
}

recursion() {
  sniff unbound-recursion.pcap "unbound with a cold cache, asking the authoritative servers: mixed
    case in names (0x20), minimised names, DNSSEC, IPv4 and IPv6" lo \
    "$dns and (host $unbound4 or host $unbound6) and not $clients" --time-stamp-precision=nano
  start_unbound
  ask $unbound4 www.knot.example A
  ask $unbound4 away.knot.example AAAA
  ask $unbound4 host.old.knot.example A
  ask $unbound4 dot\\.inside.odd.example A
  ask $unbound4 www.bogus.example A
  ask $unbound4 www.lame.example A
  ask $unbound4 big3.knot.example TXT
  sniffed
}

unbound_topics() {
  local t n
  sniff unbound-udp4.pcap "a stub resolver and unbound: answers, CNAME chains, loops, wildcards,
    NXDOMAIN, NODATA, SERVFAIL, REFUSED, with and without EDNS" lo "$dns and $clients"
  for n in www web node7.cdn mail ns ttl0 a.very.deep.empty any.wild any.walias many \
    www.knot.example.local missing nowhere loop1 away x.old; do
    ask $unbound4 "$n.knot.example" A
    ask $unbound4 "$n.knot.example" AAAA +noedns
  done
  for t in A AAAA MX NS SOA TXT CAA HTTPS SVCB SRV DS DNSKEY; do
    kask $unbound4 "$t" knot.example +edns +noedns
  done
  ask $unbound4 printer.local.example A
  ask $unbound4 nothing.local.example A
  ask $unbound4 blocked.example A
  ask $unbound4 www.lame.example A
  ask $unbound4 www.bogus.example A
  ask $unbound4 -x 192.0.2.10
  ask $unbound4 -x 2001:db8::10
  ask $unbound4 www.knot.example A +norec
  ask $unbound4 neverseen.knot.example A +norec
  dig "@$unbound4" -b "$refused4#40999" +qid=99 www.knot.example +tries=1 +time=5 \
    >> "$tmp/answers" 2>&1 || unanswered "$unbound4"
  sniffed

  sniff unbound-dnssec-udp6.pcap.gz "validation by unbound over IPv6: AD, CD, DNSKEY, DS, NSEC,
    NSEC3, a bogus zone with its extended error (EDE)" lo "$dns and $clients"
  for n in knot.example www.knot.example any.wild.knot.example missing.knot.example \
    host.bind.example missing.bind.example dot\\.inside.odd.example; do
    ask $unbound6 "$n" A +dnssec
    ask $unbound6 "$n" A +adflag
    kask $unbound6 "$n" AAAA +dnssec
  done
  for n in example knot.example bind.example odd.example bogus.example; do
    ask $unbound6 "$n" DNSKEY +dnssec
    ask $unbound6 "$n" DS +dnssec
    ask $unbound6 "$n" NSEC +dnssec
    ask $unbound6 "$n" NSEC3PARAM +dnssec
  done
  ask $unbound6 www.bogus.example A +dnssec
  ask $unbound6 www.bogus.example A +dnssec +cd
  ask $unbound6 www.lame.example A +dnssec +nsid
  sniffed
}

knot_topics() {
  local n
  sniff knot-dnssec.pcap "knot as an authoritative server: signed answers, referrals with DS and
    without, NSEC and NSEC3 proofs, wildcards, DNAME, ANY, CDS" lo "$dns and $clients"
  for n in example www.example no.example b.c.example knot.example sub.odd.example \
    sub.bind.example sub.bogus.example x.lame.example; do
    kask $knot4 "$n" A +dnssec +norec
  done
  for n in www web any.wild any.walias missing nowhere loop1 away very.deep.empty many; do
    kask $knot4 "$n.knot.example" A +dnssec +norec
  done
  for n in SOA NS MX TXT CAA DNSKEY CDS CDNSKEY NSEC3PARAM ANY TYPE65280; do
    kask $knot4 knot.example "$n" +dnssec +norec
  done
  kask $knot4 host.old.knot.example A +dnssec +norec
  kask $knot4 other.zone.test A +norec
  ask $knot4 knot.example IXFR=6 +norec +notcp
  sniffed

  sniff knot-udp6.pcap "knot over IPv6, without EDNS and with small buffers: truncated answers and
    their repetition over TCP" lo "$dns and $clients"
  for n in www mail many big1 big2 big3; do
    kask $knot6 "$n.knot.example" A +norec
    kask $knot6 "$n.knot.example" TXT +norec +bufsize=1232
    kask $knot6 "$n.knot.example" AAAA +dnssec +norec +bufsize=512
  done
  sniffed
}

bind_topics() {
  local t n
  sniff bind-types.pcap "one of each record type that BIND reads, and two that nobody knows" lo \
    "$dns and $clients"
  while read -r n; do
    # The type follows the name, or the name and a time to live.
    t=$(awk -v n="$n" '$1 == n { print $2 == "CLASS1" ? $3 : $2; exit }' \
      "$here/zones/bind.example.zone")
    ask $bind4 "$n.bind.example" "$t" +norec
  done < <(awk '/^[^;$ @]/ { print $1 }' "$here/zones/bind.example.zone" | uniq)
  for t in SOA NS MX CAA DNSKEY NSEC RRSIG TYPE65280 NULL; do
    ask $bind4 bind.example "$t" +norec
  done
  sniffed

  sniff bind-dnssec-any.pcap "BIND: ANY, with and without DNSSEC, UDP truncated and TCP" lo \
    "$dns and $clients"
  for n in bind.example unknown.bind.example host.bind.example missing.bind.example; do
    ask $bind4 "$n" ANY +norec +notcp
    ask $bind4 "$n" ANY +norec +dnssec +notcp +bufsize=512
    ask $bind6 "$n" A +norec +dnssec
  done
  sniffed

  sniff bind-rcodes.pcap "headers: each opcode, the unassigned flag, no question, no such class,
    YXDOMAIN, FORMERR, NOTIMP, REFUSED, NOTAUTH, BADVERS" lo "$dns and $clients"
  for n in 1 2 3 4 5 6 9 15; do
    ask $bind4 bind.example SOA "+opcode=$n"
  done
  ask $bind4 bind.example SOA +header-only
  ask $bind4 bind.example SOA +zflag +aaflag +adflag +cdflag
  ask $bind4 bind.example SOA +tcflag +raflag +ignore
  for t in HS ANY CLASS4711; do
    ask $bind4 -q bind.example -t SOA -c "$t"
  done
  ask $bind4 elsewhere.test A +norec
  # The DNAME turns this name into one of more than 255 bytes.
  n=$(printf 'x%.0s' $(seq 62))
  ask $bind4 "$n.$n.$n.${n:0:45}.tree.bind.example" A +norec
  ask $bind4 bind.example SOA +edns=1 +noednsneg
  ask $bind4 bind.example SOA +edns=100 +noednsneg +nsid
  ask $bind4 bind.example AXFR +notcp
  ask $bind4 bind.example IXFR=1 +notcp
  sniffed

  sniff chaos.pcap "CHAOS: version.bind, hostname.bind, id.server, authors.bind of all four" lo \
    "$dns and $clients"
  start_dnsmasq
  for n in $unbound4 $knot4 $bind4 $dnsmasq4; do
    for t in version.bind version.server hostname.bind id.server authors.bind; do
      ask "$n" "$t" CH TXT
    done
  done
  sniffed
}

names() {
  local n
  sniff odd-names.pcap "escaped dots, spaces, NUL, bytes above 127, quotes, labels of 63 bytes,
    names of 255 bytes and of 121 labels, mixed case, the root" lo "$dns and $clients"
  awk '/^[^;$@]/ {
    # A blank ends the name, unless a backslash stands before it.
    match($0, /^([^ \t\\]|\\.)+/); print substr($0, 1, RLENGTH) }' \
    "$here/zones/odd.example.zone" > "$tmp/names"
  while read -r n; do
    ask $bind4 -q "$n.odd.example" -t A +norec
    kask $unbound6 -q "$n.odd.example" -t A
  done < "$tmp/names"
  ask $bind4 mx.odd.example MX +norec
  ask $bind4 WwW.oDd.ExAmPlE SOA +norec
  ask $bind4 UpPeR.MiXeD.oDd.eXaMpLe A +norec
  ask $bind4 '*.odd.example' A +norec
  ask $bind4 . NS +norec
  ask $unbound4 . SOA
  ask $unbound4 com A
  ask $unbound4 '\000.\255.\001\002\003.odd.example' A
  ask $bind4 odd.example AXFR
  sniffed
}

zone_transfer() {
  local key=$tmp/bind/update.key
  sniff transfer.pcap "a secondary (knot) and its primary (BIND): dynamic updates with TSIG and
    without, what they may answer, NOTIFY, IXFR" lo \
    "$dns and (host $bind4 or $clients) and not host $unbound4"
  update() { nsupdate -t 3 "$@" >> "$tmp/answers" 2>&1 || true; }
  update -k "$key" << EOF
server $bind4
local $client4 45001
zone xfer.example
update add new1.xfer.example 300 A 192.0.2.101
update add new1.xfer.example 300 TXT "added" "dynamically"
update delete host1.xfer.example A
update delete host2.xfer.example
send
EOF
  wait_for_serial 2
  update -k "$key" << EOF
server $bind4
local $client4 45002
zone xfer.example
prereq nxdomain new1.xfer.example
update add never.xfer.example 300 A 192.0.2.102
send
prereq yxrrset missing.xfer.example A
update add never.xfer.example 300 A 192.0.2.102
send
prereq nxrrset new1.xfer.example A
update add never.xfer.example 300 A 192.0.2.102
send
update add outside.example 300 A 192.0.2.102
send
EOF
  update << EOF
server $bind4
local $client4 45003
zone xfer.example
update add unsigned.xfer.example 300 A 192.0.2.103
send
EOF
  update -v -y hmac-sha256:wrong.key:c29tZSBvdGhlciBrZXkgdGhhbiB0aGUgb25l << EOF
server $bind4
local $client4 45004
zone xfer.example
update add wrong.xfer.example 300 A 192.0.2.104
send
EOF
  update -v -k "$key" << EOF
server $bind4
local $client4 45005
zone xfer.example
update delete new1.xfer.example TXT
update add new2.xfer.example 300 AAAA 2001:db8::102
send
EOF
  wait_for_serial 3
  ask $bind4 xfer.example "IXFR=1" +tcp
  ask $bind4 xfer.example "IXFR=2" +tcp
  ask $bind4 xfer.example "IXFR=3"
  sniffed

  sniff transfer-axfr.pcap.zst "AXFR: one message of many records, many messages of one record each,
    over IPv4 and IPv6, refused" lo "$dns and $clients"
  ask $bind4 xfer.example AXFR
  ask $bind6 bind.example AXFR
  ask $bind6 xfer.example AXFR
  kask $bind4 odd.example AXFR
  ask $knot4 example AXFR
  sniffed
}

# wait_for_serial N: until the secondary has it; the queries stay out of the capture.
wait_for_serial() {
  for _ in $(seq 200); do
    [ "$(dig "@$knot6" xfer.example SOA +short | cut -d' ' -f3)" = "$1" ] && return
    sleep 0.1
  done
  die "knot did not get serial $1 of xfer.example: $(tail -5 "$tmp/knotd.log")"
}

dnsmasq_topics() {
  local t n
  sniff dnsmasq-udp6.pcap "dnsmasq over IPv6: its own records, names it forwards, names it
    refuses" lo "$dns and $clients"
  for n in nas.lan files.lan missing.lan a.sink.lan www.knot.example missing.bind.example \
    outside.test; do
    ask $dnsmasq6 "$n" A
    ask $dnsmasq6 "$n" AAAA +noedns
  done
  for t in TXT,info.lan SRV,_ldap._tcp.lan MX,lan NAPTR,tel.lan CAA,lan TYPE65280,odd.lan \
    PTR,_http._tcp.dns-sd.lan; do
    ask $dnsmasq6 "${t#*,}" "${t%,*}"
  done
  ask $dnsmasq6 -x 2001:db8::210
  kask $dnsmasq6 www.knot.example A +tcp
  sniffed

  sniff dnsmasq-upstream.pcap "dnsmasq and the resolver it forwards to: client subnet, an option
    of private use" lo "$dns and host $dnsmasq4 and host $unbound4"
  for n in web.knot.example host.bind.example away.knot.example a.wild.knot.example; do
    ask $dnsmasq4 "$n" TXT
    ask $dnsmasq6 "$n" TXT
  done
  sniffed
}

extensions() {
  sniff edns.pcap "EDNS: NSID, cookies and BADCOOKIE, client subnet, padding, keepalive, expire,
    key tag, unknown options, flags, buffer sizes" lo "$dns and $clients"
  ask $bind4 bind.example SOA +nsid +cookie
  ask $bind4 bind.example SOA +expire
  ask $bind4 bind.example SOA +subnet=198.51.100.0/24
  ask $bind4 bind.example SOA +nocookie +noedns
  ask $strict4 bind.example SOA +norec
  ask $strict4 bind.example SOA +norec +nobadcookie
  ask $strict4 bind.example SOA +norec +cookie=0123456789abcdef0123456789abcdef01234567
  kask $knot4 knot.example SOA +nsid +cookie
  kask $knot4 knot.example SOA +subnet=198.51.100.0/24
  kask $knot6 knot.example SOA +subnet=2001:db8:c::/56
  kask $knot4 knot.example SOA +subnet=0.0.0.0/0
  kask $knot4 knot.example SOA +subnet=198.51.100.129/25
  kask $unbound4 www.knot.example A +padding=128 +nsid
  kask $unbound4 www.knot.example A +padding=468 +dnssec
  kask $unbound4 www.knot.example A +padding
  ask $unbound4 www.knot.example A +tcp +keepalive
  ask $knot4 knot.example SOA +tcp +keepalive
  ask $bind4 bind.example SOA +tcp +keepalive
  ask $bind4 bind.example SOA +ednsopt=14:4f66
  ask $bind4 bind.example SOA +ednsopt=65001:c0ffee +ednsopt=65002
  ask $bind4 bind.example SOA +ednsopt=10:01
  ask $bind4 bind.example SOA +ednsopt=8:0001
  ask $unbound4 www.knot.example A +ednsopt=5:0708 +ednsopt=6:01 +ednsopt=7:01
  ask $unbound4 www.knot.example A +ednsflags=0x1234
  ask $unbound4 www.knot.example A +bufsize=0
  ask $unbound4 www.knot.example A +bufsize=65535
  ask $unbound4 www.bogus.example A
  ask $unbound4 www.lame.example A
  sniffed
}

tcp_streams() {
  sniff bind-tcp.pcap "TCP: truncation and repetition over TCP, several messages in a connection,
    over IPv4 and IPv6" lo "$dns and $clients"
  ask $knot4 big3.knot.example TXT +norec +bufsize=512
  ask $unbound4 big3.knot.example TXT +noedns
  ask $bind4 unknown.bind.example NSEC +norec +dnssec
  ask $bind6 bind.example ANY +norec +dnssec
  ask $bind4 +tcp +keepopen host.bind.example A alias.bind.example A txt.bind.example TXT \
    missing.bind.example A
  kask $knot4 +tcp +keepopen www.knot.example A web.knot.example AAAA big3.knot.example TXT \
    missing.knot.example A
  kask $knot6 +tcp +keepopen +dnssec big1.knot.example TXT big2.knot.example TXT \
    many.knot.example A
  kask $unbound4 +tcp +keepopen www.knot.example A big3.knot.example TXT host.bind.example A
  sniffed

  sniff tcp-segments.pcap "TCP: four queries in one segment, and four cut in the middle of a name
    and of a length prefix" lo "$dns and $clients"
  python3 "$here/record.py" pipeline $client4 $unbound4 together
  python3 "$here/record.py" pipeline $client6 $unbound6 split
  sniffed
}

fragments() {
  local n
  for n in 4 6; do
    local server=knot$n
    sniff "fragments-udp$n.pcap" "IPv$n fragments: answers of two and of three datagrams' size" \
      lo "$dns and $clients"
    kask "${!server}" big2.knot.example TXT +norec +bufsize=4096 +ignore
    kask "${!server}" big3.knot.example TXT +norec +bufsize=4096 +ignore
    kask "${!server}" big3.knot.example TXT +norec +bufsize=4096 +ignore +dnssec
    kask "${!server}" many.knot.example A +norec +bufsize=4096 +dnssec
    sniffed
  done

  sniff ipv6-options.pcap "IPv6 hop-by-hop and destination options before UDP" lo \
    "$dns and $clients"
  python3 "$here/record.py" options $client6 $unbound6
  sniffed

  sniff snaplen.pcap "cut by the capture: the first 100 bytes of each frame" lo \
    "$dns and $clients" -s 100
  ask $unbound4 www.knot.example A
  ask $unbound4 many.knot.example A
  ask $unbound6 many.knot.example A +dnssec
  ask $bind4 +tcp long.bind.example TXT
  sniffed
}

# ask_client ARGS...: dig from the other namespace.
ask_client() {
  number=$((number + 1))
  in_client dig "+qid=$((4096 + number))" +tries=1 +time=5 "$@" \
    >> "$tmp/answers" 2>&1 || unanswered "$@"
}

# a_few: UDP and TCP, IPv4 and IPv6, a fragmented answer.
a_few() {
  ask_client -b "203.0.113.2#$((41000 + number))" @$unbound4 www.knot.example A
  ask_client -b "203.0.113.2#$((41000 + number))" @$unbound4 missing.knot.example A +dnssec
  ask_client -b "2001:db8:99::2#$((41000 + number))" @$unbound6 away.knot.example AAAA
  ask_client -b "203.0.113.2#$((41000 + number))" @$unbound4 big3.knot.example TXT +tcp
  ask_client -b "2001:db8:99::2#$((41000 + number))" @$knot6 big2.knot.example TXT \
    +norec +bufsize=4096 +ignore
}

links() {
  trunk 7
  sniff vlan.pcap "802.1Q tags, VLAN 7, on a trunk between two switches; some ARP" t0 ""
  a_few
  sniffed
  untrunk

  trunk 20.7
  sniff qinq.pcap "802.1ad: service tag 20 outside, VLAN 7 inside; some ARP" t0 ""
  a_few
  sniffed
  untrunk

  tunnel
  sniff raw-ip.pcap "no link layer at all: a tunnel device" tun0 "$dns"
  a_few
  sniffed

  sniff cooked-v1.pcap "Linux cooked capture, version 1, on all interfaces" any "$dns" -y LINUX_SLL
  a_few
  ask $bind4 txt.bind.example TXT
  sniffed

  sniff cooked-v2.pcap "Linux cooked capture, version 2, on all interfaces" any "$dns" \
    -y LINUX_SLL2
  a_few
  ask $bind6 txt.bind.example TXT
  sniffed

  two_interfaces
}

# tcpdump writes no pcapng; dumpcap does, and takes several interfaces of different link types.
two_interfaces() {
  file=interfaces.pcapng
  echo "recording $file"
  dumpcap -q -i lo -f "$dns and $clients" -i tun0 -f "$dns" -w "$tmp/captures/$file" \
    2> "$tmp/dumpcap.err" &
  sniffer=$!
  await_text "$tmp/dumpcap.err" 'File:'
  sleep 0.5
  a_few
  ask $bind4 alias.bind.example A
  ask $unbound6 www.knot.example A
  sleep 1
  kill "$sniffer"
  wait "$sniffer" || die "dumpcap: $(cat "$tmp/dumpcap.err")"
  python3 "$here/record.py" impersonal "$tmp/captures/$file"
  describe "pcapng by dumpcap: loopback (Ethernet) and a tunnel device (raw IP) in one file"
}

# describe WHAT: a row of the table for the README.
describe() { printf '%s\t%s\n' "$file" "$(tr -s ' \n' ' ' <<< "$1" | sed 's/ $//')" >> "$table"; }

# report: compresses, moves all to its place, and writes the README and tshark's view.
report() {
  local file raw
  rm -f "$out"/*.pcap "$out"/*.pcap.gz "$out"/*.pcap.zst "$out"/*.pcapng "$out"/*.tsv
  while IFS=$'\t' read -r file _; do
    raw=$tmp/captures/$file
    case $file in
      *.gz) gzip -n -9 < "$raw" > "$out/$file" ;;
      *.zst) zstd -q -19 < "$raw" > "$out/$file" ;;
      *) cat "$raw" > "$out/$file" ;; # not cp: dumpcap's file is for its owner alone
    esac
    "$here/oracle.sh" "$out/$file" > "$out/$file.tsv"
  done < "$table"
  readme > "$out/README.md"
}

version() { "$@" 2>&1 | grep -om1 '[0-9]\+\.[0-9.]\+[0-9]' | head -1; }

readme() {
  local file text link packets messages
  cat << EOF
# Captures

Recorded by \`record.sh\`, in network namespaces of its own without a route to anywhere: real
servers, asked by real clients, sniffed with tcpdump (the pcapng file with dumpcap). Beside each
capture stands what tshark finds in it, written by \`oracle.sh\`: one line per DNS message. Tests
compare our decoder with these lists.

To record them again: \`sudo testdata/record.sh\`. It says what to install. All files change then:
keys, signatures and times are new each time. This file is written by it, too.

| program | version | role |
|---|---|---|
| knot | $(version knotd --version) | serves example, knot.example, bogus.example, xfer.example |
| BIND | $(version named -v) | serves bind.example, odd.example, xfer.example |
| unbound | $(version unbound -V) | validates, from the key of example |
| dnsmasq | $(version dnsmasq --version) | forwarder to unbound |
| dig, nsupdate | $(version dig -v) | clients |
| kdig | $(version kdig --version) | client |
| tcpdump | $(version tcpdump --version) | sniffs |
| tshark | $(version tshark --version) | second opinion |

Addresses: unbound 192.0.2.53, knot .54, BIND .55 and .57 (which insists on cookies), dnsmasq .56,
the same with 2001:db8::; clients 198.51.100.1 and 2001:db8:c::1, on other links 203.0.113.2 and
2001:db8:99::2. The zones are in \`zones/\`. What the kernel's loopback and tunnel devices do not
compute, checksums, is wrong in the captures, as it is on any machine that offloads.

The columns of the lists: frame (the one that completes the message), time (seconds), src, dst,
transport, sport, dport, id, flags, qd, an, ns, ar, qname (as tshark prints it), qtype, qclass,
dns_len (without the length prefix of TCP), qname_hex (the bytes of the name), malformed (tshark
gave up in this message), cut (the capture did not keep the whole frame; numbers after the cut may
be missing).

| file | bytes | link type | packets | messages | what is in it |
|---|---|---|---|---|---|
EOF
  while IFS=$'\t' read -r file text; do
    link=$(capinfos -M -E "$out/$file" 2> /dev/null |
      awk -F': *' '/encapsulation/ { print $2; exit }')
    packets=$(capinfos -M -c "$out/$file" 2> /dev/null |
      awk -F': *' '/Number of packets/ { print $2 }')
    messages=$(($(wc -l < "$out/$file.tsv") - 1))
    printf '| %s | %s | %s | %s | %s | %s |\n' "$file" "$(stat -c %s "$out/$file")" \
      "$link" "$packets" "$messages" "$text"
  done < "$table"
}
