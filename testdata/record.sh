#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Records the captures of this folder: real servers (unbound, knot, BIND, dnsmasq) asked by real
# clients (dig, kdig, nsupdate, their own zone transfers), sniffed with tcpdump and dumpcap.
#
#   sudo testdata/record.sh [FOLDER]      default: the folder of this script
#
# It needs root, and touches neither the machine's network nor its services: it runs itself again
# in network, mount and process namespaces of its own. There port 53 is free, there is no route to
# anywhere, and whatever it started dies with it, however it ends.
#
# Queries, their order, their ports and (with dig) their ids are the same each time. Keys,
# signatures, times, and the ids and ports of kdig and of the servers are not.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(cd "${1:-$here}" && pwd)

if [ "${DNSLUICE_RECORD_INSIDE:-}" != yes ]; then
  [ "$(id -u)" = 0 ] || { echo "record.sh: needs root: sudo $0 $*" >&2; exit 1; }
  missing=
  for tool in unbound knotd keymgr kdig named dnssec-keygen dnssec-signzone dnssec-dsfromkey \
    tsig-keygen dnsmasq dig nsupdate tcpdump tshark dumpcap capinfos ip unshare nsenter ethtool \
    python3 zstd gzip; do
    command -v "$tool" > /dev/null || missing+=" $tool"
  done
  if [ -n "$missing" ]; then
    echo "record.sh: missing:$missing" >&2
    echo "apt-get install unbound knot knot-dnsutils bind9 bind9-utils bind9-dnsutils" \
      "dnsmasq-base tcpdump tshark iproute2 util-linux ethtool python3 zstd" >&2
    exit 1
  fi
  # The process namespace is the trap that cannot be missed: when its first process ends, the
  # kernel kills the others. The temporary folder is removed from outside for the same reason.
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  chmod 755 "$tmp"
  DNSLUICE_RECORD_INSIDE=yes DNSLUICE_RECORD_TMP=$tmp unshare --net --mount --pid --fork \
    --kill-child --mount-proc "${BASH_SOURCE[0]}" "$out"
  exit
fi

tmp=$DNSLUICE_RECORD_TMP
mkdir "$tmp/bin" "$tmp/captures"
table=$tmp/table
: > "$table"

unbound4=192.0.2.53 unbound6=2001:db8::53
knot4=192.0.2.54 knot6=2001:db8::54
bind4=192.0.2.55 bind6=2001:db8::55
dnsmasq4=192.0.2.56 dnsmasq6=2001:db8::56
strict4=192.0.2.57 # BIND again, in a view that insists on a server cookie
client4=198.51.100.1 client6=2001:db8:c::1
refused4=198.51.100.99 # a client that unbound does not serve

die() { echo "record.sh: $*" >&2; exit 1; }

# ---- asking ----------------------------------------------------------------------------------

number=0
family() { case $1 in *:*) echo 6 ;; *) echo 4 ;; esac; }

# ask SERVER ARGS...: dig, from a known address and port and with a known id.
ask() {
  local server=$1 from=$client4
  shift
  number=$((number + 1))
  [ "$(family "$server")" = 4 ] || from=$client6
  dig "@$server" -b "${from}#$((40000 + number))" "+qid=$((4096 + number))" \
    +tries=1 +time=5 +noidnin +noidnout "$@" >> "$tmp/answers" 2>&1 || unanswered "$server" "$@"
}

# kask SERVER ARGS...: the same with kdig, which chooses its own ids.
kask() {
  local server=$1 from=$client4
  shift
  number=$((number + 1))
  [ "$(family "$server")" = 4 ] || from=$client6
  kdig "@$server" -b "${from}@$((40000 + number))" +retry=0 +time=5 +noidn "$@" \
    >> "$tmp/answers" 2>&1 || unanswered "$server" "$@"
}

# A capture that lacks what its description says is worse than none.
unanswered() {
  tail -n 10 "$tmp/answers" >&2
  die "no answer from $*"
}

# wait_for SERVER NAME TYPE: until the server answers, at most 15 s.
wait_for() {
  for _ in $(seq 150); do
    dig "@$1" "$2" "$3" +tries=1 +time=1 2> /dev/null | grep -q 'ANSWER: [1-9]' && return
    sleep 0.1
  done
  tail -n 20 "$tmp"/*.log >&2
  die "$1 does not answer for $2"
}

# ---- sniffing --------------------------------------------------------------------------------

# The later fragments of a datagram carry no ports.
dns='(port 53 or (ip[6:2] & 0x1fff != 0) or ip6 proto 44 or ip6 proto 0 or ip6 proto 60)'
clients='(net 198.51.100.0/24 or net 2001:db8:c::/48)'

# sniff FILE WHAT INTERFACE FILTER [TCPDUMP-OPTION...]: starts tcpdump and waits until it listens.
sniff() {
  file=$1 what=$2 interface=$3
  local filter=$4
  shift 4
  echo "recording $file"
  rm -f "$tmp/tcpdump.err" # what the one before said would be taken for this one's
  tcpdump -Z root -n -U --immediate-mode -i "$interface" "$@" -w "$tmp/captures/$file" \
    "$filter" 2> "$tmp/tcpdump.err" &
  sniffer=$!
  await_text "$tmp/tcpdump.err" 'listening on'
}

# sniffed: ends the capture, and fails if a packet was missed.
sniffed() {
  local captured received
  sleep 0.5
  kill "$sniffer"
  wait "$sniffer" || die "tcpdump: $(cat "$tmp/tcpdump.err")"
  grep -q '^0 packets dropped by kernel' "$tmp/tcpdump.err" || die "$file: packets dropped"
  captured=$(sed -n 's/ packets captured$//p' "$tmp/tcpdump.err")
  received=$(sed -n 's/ packets received by filter$//p' "$tmp/tcpdump.err")
  # On loopback each packet passes the filter twice, going out and coming in; one is kept.
  [ "$interface" != lo ] || received=$((received / 2))
  [ "$interface" = any ] || [ "$captured" = "$received" ] || die "$file: $captured of $received"
  describe "$what"
}

await_text() {
  for _ in $(seq 100); do
    grep -qs "$2" "$1" && return
    sleep 0.05
  done
  die "no '$2' in $1: $(cat "$1")"
}

# ---- the network -----------------------------------------------------------------------------

network() {
  # An MTU like the world's: large answers come in fragments, zone transfers in many segments.
  ip link set lo mtu 1500 up
  ethtool -K lo tso off gso off gro off > /dev/null 2>&1 || true
  # The ports of the queries are fixed, 40000 and up: nobody else may take them.
  sysctl -qw net.ipv4.ip_local_port_range="50000 60999"
  local a
  for a in $unbound4 $knot4 $bind4 $dnsmasq4 $strict4 $client4 $refused4; do
    ip addr add "$a/32" dev lo
  done
  for a in $unbound6 $knot6 $bind6 $dnsmasq6 $client6; do
    ip addr add "$a/128" dev lo nodad
  done
}

# A second namespace for what loopback does not show: VLAN tags, a tunnel device.
client_namespace() {
  unshare --net sleep infinity &
  client_ns=$!
  for _ in $(seq 100); do
    [ "$(readlink /proc/$client_ns/ns/net)" != "$(readlink /proc/$$/ns/net)" ] && break
    sleep 0.05
  done
  in_client ip link set lo up
}

in_client() { nsenter -t "$client_ns" -n "$@"; }

# trunk TAGS: client c0 - c1 switch t0 === t1 switch s1 - s0 server; tagged between t0 and t1.
trunk() {
  local i
  ip link add c0 netns "$client_ns" type veth peer name c1
  ip link add t0 type veth peer name t1
  ip link add s0 type veth peer name s1
  for i in c1 t0 t1 s1; do
    sysctl -qw "net.ipv6.conf.$i.disable_ipv6=1"
    # Only s0 speaks for this namespace; the ports of the switches answer no ARP.
    sysctl -qw "net.ipv4.conf.$i.arp_ignore=8"
    ip link set "$i" mtu 1600 up
  done
  # The switches copy bytes: checksums must be there, and segments of a size that fits.
  ethtool -K s0 tx off tso off gso off > /dev/null
  in_client ethtool -K c0 tx off tso off gso off > /dev/null
  ip addr add 203.0.113.1/24 dev s0
  ip addr add 2001:db8:99::1/64 dev s0 nodad
  ip link set s0 up
  in_client ip addr add 203.0.113.2/24 dev c0
  in_client ip addr add 2001:db8:99::2/64 dev c0 nodad
  in_client ip link set c0 up
  in_client ip route add 192.0.2.0/24 via 203.0.113.1
  in_client ip route add 2001:db8::/64 via 2001:db8:99::1
  python3 "$here/record.py" switch "c1:$1" t0 > "$tmp/switch1.log" &
  switches=$!
  python3 "$here/record.py" switch "s1:$1" t1 > "$tmp/switch2.log" &
  switches+=" $!"
  await_text "$tmp/switch1.log" ready
  await_text "$tmp/switch2.log" ready
}

untrunk() {
  # shellcheck disable=SC2086 # two process ids
  kill $switches
  ip link del c1
  ip link del t0
  ip link del s0
}

# tunnel: tun0 here, tun0 in the client's namespace, joined.
tunnel() {
  python3 "$here/record.py" tun tun0 $$ tun0 "$client_ns" > "$tmp/tun.log" &
  await_text "$tmp/tun.log" ready
  ip addr add 203.0.113.1 peer 203.0.113.2 dev tun0
  ip addr add 2001:db8:99::1/64 dev tun0 nodad
  ip link set tun0 up
  in_client ip addr add 203.0.113.2 peer 203.0.113.1 dev tun0
  in_client ip addr add 2001:db8:99::2/64 dev tun0 nodad
  in_client ip link set tun0 up
  in_client ip route add 192.0.2.0/24 dev tun0
  in_client ip route add 2001:db8::/64 dev tun0
}

# ---- the servers -----------------------------------------------------------------------------

# server NAME ARGS...: starts a copy of the program. The copy, because Debian's AppArmor profiles
# go by path and would keep the program from reading the temporary folder.
server() {
  local name=$1
  shift
  cp "$(command -v "$name")" "$tmp/bin/$name"
  "$tmp/bin/$name" "$@" > "$tmp/$name.log" 2>&1 &
}

start_bind() {
  local dir=$tmp/bind key
  mkdir "$dir"
  cp "$here/zones/bind.example.zone" "$here/zones/odd.example.zone" "$dir/"
  (
    cd "$dir"
    dnssec-keygen -q -a ECDSAP256SHA256 -f KSK bind.example > ksk
    dnssec-keygen -q -a ECDSAP256SHA256 bind.example > zsk
    dnssec-signzone -q -S -o bind.example bind.example.zone > /dev/null
    dnssec-dsfromkey -2 "$(cat ksk).key" > "$tmp/bind.ds"
    tsig-keygen -a hmac-sha256 update.key > update.key
    {
      echo "\$TTL 300"
      echo "@ SOA ns.bind.example. hostmaster 1 3600 900 604800 60"
      echo "@ NS ns.bind.example."
      echo "@ NS ns.knot.example."
      for i in $(seq 400); do echo "host$i A 10.0.$((i / 250)).$((i % 250))"; done
      for i in $(seq 40); do echo "text$i TXT \"record $i of a zone that is transferred\""; done
    } > xfer.example.zone
  )
  key=$(cat "$dir/update.key")
  cat > "$dir/named.conf" << EOF
$key
controls { };
server $client6 { transfer-format one-answer; };
options {
  directory "$dir"; pid-file none; session-keyfile none; managed-keys-directory "$dir";
  listen-on { $bind4; $strict4; }; listen-on-v6 { $bind6; };
  query-source address $bind4; notify-source $bind4; transfer-source $bind4;
  recursion no; dnssec-validation no; server-id "bind.example"; minimal-responses no;
  edns-udp-size 4096; max-udp-size 4096; notify explicit; also-notify { $knot4; };
};
view strict {
  match-destinations { $strict4; };
  require-server-cookie yes;
  zone "bind.example" { type primary; file "strict.zone.signed"; };
};
view main {
  zone "bind.example" { type primary; file "bind.example.zone.signed"; allow-transfer { any; };
    notify no; };
  zone "odd.example" { type primary; file "odd.example.zone"; check-names ignore; notify no; };
  zone "xfer.example" { type primary; file "xfer.example.zone"; allow-transfer { any; };
    allow-update { key update.key; }; ixfr-from-differences yes; };
};
EOF
  cp "$dir/bind.example.zone.signed" "$dir/strict.zone.signed"
  server named -g -n 1 -c "$dir/named.conf"
  wait_for $bind4 bind.example SOA
}

start_knot() {
  local dir=$tmp/knot zone
  mkdir "$dir"
  cp "$here"/zones/{example,knot.example,bogus.example}.zone "$dir/"
  cat > "$dir/knot.conf" << EOF
server:
  rundir: $dir
  listen: [ $knot4@53, $knot6@53 ]
  identity: knot.example
  nsid: ns1.knot.example
  version: "Knot DNS"
  udp-max-payload: 4096
  edns-client-subnet: on
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
log:
  - target: stderr
    any: info
database:
  storage: $dir
mod-cookies:
  - id: default
policy:
  - id: nsec
    algorithm: ecdsap256sha256
    manual: on
    reproducible-signing: on
    cds-cdnskey-publish: always
  - id: nsec3
    algorithm: ecdsap256sha256
    manual: on
    reproducible-signing: on
    nsec3: on
    nsec3-iterations: 5
    nsec3-salt-length: 4
    cds-cdnskey-publish: always
remote:
  - id: bind
    address: $bind4@53
    via: $knot4
acl:
  - id: notify
    address: $bind4
    action: notify
template:
  - id: default
    storage: $dir
    file: "%s.zone"
    zonefile-sync: -1
    journal-content: none
zone:
  - domain: example
    dnssec-signing: on
    dnssec-policy: nsec
  - domain: knot.example
    dnssec-signing: on
    dnssec-policy: nsec3
    module: mod-cookies/default
  - domain: bogus.example
    dnssec-signing: on
    dnssec-policy: nsec
  - domain: xfer.example
    master: bind
    acl: notify
    journal-content: all
EOF
  for zone in example knot.example bogus.example; do
    keymgr -c "$dir/knot.conf" "$zone" generate algorithm=ECDSAP256SHA256 ksk=yes > /dev/null
    keymgr -c "$dir/knot.conf" "$zone" generate algorithm=ECDSAP256SHA256 > /dev/null
  done
  # knot prints one DS for each digest type; SHA-256 is enough.
  keymgr -c "$dir/knot.conf" knot.example ds | grep ' 13 2 ' >> "$dir/example.zone"
  cat "$tmp/bind.ds" >> "$dir/example.zone"
  keymgr -c "$dir/knot.conf" example ds | grep ' 13 2 ' > "$tmp/anchor.ds"
  server knotd -c "$dir/knot.conf"
  wait_for $knot4 example RRSIG
  wait_for $knot4 knot.example RRSIG
}

start_unbound() {
  local dir=$tmp/unbound
  mkdir "$dir"
  cat > "$dir/unbound.conf" << EOF
server:
  directory: "$dir"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  num-threads: 1
  interface: $unbound4
  interface: $unbound6
  outgoing-interface: $unbound4
  outgoing-interface: $unbound6
  access-control: 198.51.100.0/24 allow
  access-control: 192.0.2.0/24 allow
  access-control: 203.0.113.0/24 allow
  access-control: 2001:db8::/32 allow
  access-control: $refused4/32 refuse
  module-config: "validator iterator"
  trust-anchor-file: "$tmp/anchor.ds"
  use-caps-for-id: yes
  edns-buffer-size: 1232
  ede: yes
  nsid: "ascii_unbound.example"
  edns-tcp-keepalive: yes
  rrset-roundrobin: no
  target-fetch-policy: "0 0 0 0 0"
  local-zone: "local.example." static
  local-data: "printer.local.example. A 192.0.2.200"
  local-zone: "blocked.example." always_nxdomain
stub-zone:
  name: "example."
  stub-addr: $knot4
  stub-addr: $knot6
remote-control:
  control-enable: no
EOF
  server unbound -d -c "$dir/unbound.conf"
  wait_for $unbound4 printer.local.example A
}

start_dnsmasq() {
  local dir=$tmp/dnsmasq
  mkdir "$dir"
  cat > "$dir/dnsmasq.conf" << EOF
no-resolv
no-hosts
no-poll
bind-interfaces
user=root
pid-file=$dir/pid
listen-address=$dnsmasq4
listen-address=$dnsmasq6
except-interface=none
server=/example/$unbound4@$dnsmasq4
add-subnet=24,56
add-cpe-id=cpe-4711
local=/lan/
host-record=nas.lan,nas.knot.example.lan,192.0.2.210,2001:db8::210
cname=files.lan,nas.lan
txt-record=info.lan,"a dnsmasq",of,"three strings"
srv-host=_ldap._tcp.lan,nas.lan,389,1,2
mx-host=lan,nas.lan,50
naptr-record=tel.lan,10,20,u,E2U+sip,!^.*\$!sip:a@lan!
caa-record=lan,0,issue,ca.example
ptr-record=_http._tcp.dns-sd.lan,"New Employee Page._http._tcp.lan"
dns-rr=odd.lan,65280,c0:ff:ee
address=/sink.lan/0.0.0.0
EOF
  server dnsmasq -k -C "$dir/dnsmasq.conf"
  wait_for $dnsmasq4 nas.lan A
}

# shellcheck source=testdata/topics.sh
. "$here/topics.sh"

network
client_namespace
start_bind
start_knot
record_all
report
