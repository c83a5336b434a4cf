#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A real Apache Kafka in KRaft mode from its Maven artifacts, on loopback, of one or more nodes.
#
#   kafka.sh install                        fetch the jars once (needs mvn and the network)
#   kafka.sh start N [FOLDER]               N nodes in the background, brokers on 19092, 19094, ...
#   kafka.sh stop [FOLDER]                  end what start began
#   kafka.sh status [FOLDER]                which nodes run, and where
#   kafka.sh tool CLASS ARG...              one of Kafka's own command-line tools
#
# and for the Go tests, which own the processes themselves:
#
#   kafka.sh check                          say in one line what is missing, exit 1 if anything is
#   kafka.sh configure FOLDER BROKER:CONTROLLER...   write and format a node for each pair of ports;
#                                           the file FOLDER/extra.properties is added to each node,
#                                           FOLDER/extra-I.properties to node I
#   kafka.sh run FOLDER I                   be node I (exec: the process id is Java's)
#
# The jars live in $DNSLUICE_KAFKA, default ${XDG_CACHE_HOME:-$HOME/.cache}/dnsluice/kafka-VERSION;
# FOLDER is by default the folder `cluster` below it. DNSLUICE_KAFKA_HEAP is the heap of a node, and
# DNSLUICE_KAFKA_PORT the first broker's port, from which those of start are counted.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
# The home is looked at only when nothing else is said: a service may have none.
cache=${DNSLUICE_KAFKA:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/dnsluice/kafka-$version}
heap=${DNSLUICE_KAFKA_HEAP:-384m}
port=${DNSLUICE_KAFKA_PORT:-19092}
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
how="apt-get install openjdk-17-jre-headless maven kcat; test/kafka/kafka.sh install"

die() { echo "kafka.sh: $*" >&2; exit 1; }

# The marker holds the pom's checksum: another version, or another dependency, installs again.
installed() { [ "$(cat "$cache/complete" 2> /dev/null)" = "$(cksum < "$here/pom.xml")" ]; }

need_java() {
  local major
  command -v "$java" > /dev/null || die "no java ($how)"
  # "17.0.15", "21", "1.8.0_402": Kafka 4 needs 17 or later.
  major=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -1)
  [ "${major:-0}" -ge 17 ] || die "java is ${major:-of no known version}, 17 is needed ($how)"
}

check() {
  need_java
  installed || die "Kafka $version is not in $cache ($how)"
}

install() {
  installed && return
  [ ! -e "$cache" ] || [ -f "$cache/complete" ] || rmdir "$cache" 2> /dev/null ||
    die "$cache is not a folder of kafka.sh: move it, or set DNSLUICE_KAFKA"
  command -v mvn > /dev/null || die "no mvn ($how)"
  mkdir -p "$(dirname "$cache")"
  # Copied aside and moved when whole, so that two installs at once, or one cut off, do no harm.
  local new attempt
  new=$(mktemp -d "$cache.XXXXXX")
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$new'" EXIT
  for attempt in 1 2 3 4; do
    if mvn -q -B -ntp -f "$here/pom.xml" dependency:copy-dependencies \
      -DincludeScope=runtime -DoutputDirectory="$new/libs"; then
      cksum < "$here/pom.xml" > "$new/complete"
      chmod 755 "$new"
      rm -rf "$cache"
      mv -T "$new" "$cache" 2> /dev/null || installed || die "cannot move the jars to $cache"
      return
    fi
    echo "kafka.sh: attempt $attempt of 4 failed" >&2
    sleep $((attempt * 5))
  done
  die "Maven could not fetch the jars"
}

run_tool() {
  check
  # Serial collector and first compiler only: a tool lives for seconds, on a small machine.
  exec "$java" -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dlog4j2.configurationFile="$here/tools-log4j2.properties" -cp "$cache/libs/*" "$@"
}

properties() { # FOLDER I VOTERS BROKER CONTROLLER NODES
  local copies=$(($6 < 3 ? $6 : 3))
  local insync=$((copies > 2 ? 2 : 1))
  cat << EOF
process.roles=broker,controller
node.id=$2
controller.quorum.voters=$3
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$4,CONTROLLER://127.0.0.1:$5
advertised.listeners=PLAINTEXT://127.0.0.1:$4
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$1/data-$2
# Topics are made by those who use them, as in most real clusters.
auto.create.topics.enable=false
default.replication.factor=$copies
min.insync.replicas=$insync
offsets.topic.replication.factor=$copies
transaction.state.log.replication.factor=$copies
transaction.state.log.min.isr=$insync
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.min.isr=$insync
# Small and quick: a broker with fifty partitions of offsets takes seconds more to come up.
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# A crashed node may register again only when its old session has ended; the default is 9 s.
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=2097152
EOF
  [ ! -f "$1/extra.properties" ] || cat "$1/extra.properties"
  [ ! -f "$1/extra-$2.properties" ] || cat "$1/extra-$2.properties"
}

configure() {
  [ $# -ge 2 ] || die "configure FOLDER BROKER:CONTROLLER..."
  check
  local dir=$1 voters='' id i=0 pair
  shift
  # Sixteen bytes in URL-safe base 64; the first letters keep it from looking like an option.
  id=$({ printf dnsluice; head -c 8 /dev/urandom; } | base64 | tr '+/' '-_' | tr -d '=')
  for pair in "$@"; do
    i=$((i + 1))
    voters+=${voters:+,}$i@127.0.0.1:${pair#*:}
  done
  local pids=()
  i=0
  for pair in "$@"; do
    i=$((i + 1))
    properties "$dir" $i "$voters" "${pair%:*}" "${pair#*:}" $# > "$dir/node-$i.properties"
    # Each in a process of its own: most of a second is Java finding its classes.
    (run_tool kafka.tools.StorageTool format -t "$id" -c "$dir/node-$i.properties") \
      > "$dir/format-$i.log" 2>&1 &
    pids+=($!)
  done
  for i in "${!pids[@]}"; do
    wait "${pids[$i]}" || die "format: $(cat "$dir/format-$((i + 1)).log")"
  done
}

run() {
  check
  cd "$1"
  exec "$java" "-Xmx$heap" "-Xms$heap" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -XX:+ExitOnOutOfMemoryError -Dlog4j2.configurationFile="$here/log4j2.properties" \
    -cp "$cache/libs/*" kafka.Kafka "$1/node-$2.properties"
}

# alive FOLDER I: the recorded process still exists and is still that node; ids are used again.
alive() {
  local pid
  pid=$(cat "$1/node-$2.pid" 2> /dev/null) || return 1
  tr "\0" " " 2> /dev/null < "/proc/$pid/cmdline" | grep -qF "$1/node-$2.properties"
}

# nodes FOLDER: the numbers of the nodes that start left there.
nodes() {
  find "$1" -maxdepth 1 -name 'node-*.pid' 2> /dev/null | sed 's/.*node-//; s/\.pid//' | sort -n
}

start() {
  local n=${1:-} dir=${2:-$cache/cluster} i pairs=() brokers=''
  [ "${n:-0}" -ge 1 ] 2> /dev/null || die "start N [FOLDER]"
  check
  for i in $(nodes "$dir"); do
    ! alive "$dir" "$i" || die "node $i already runs in $dir: kafka.sh stop"
  done
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  # What an earlier start left goes; a folder with anything else in it is not ours.
  [ -f "$dir/node-1.properties" ] || rmdir "$dir" 2> /dev/null || die "$dir is not empty"
  mkdir -p "$dir"
  rm -rf "$dir"/node-* "$dir"/data-* "$dir"/format-*
  for i in $(seq "$n"); do
    pairs+=("$((port - 2 + 2 * i)):$((port - 1 + 2 * i))")
    brokers+=${brokers:+,}127.0.0.1:$((port - 2 + 2 * i))
  done
  configure "$dir" "${pairs[@]}"
  for i in $(seq "$n"); do
    setsid "$here/kafka.sh" run "$dir" "$i" > "$dir/node-$i.log" 2>&1 < /dev/null &
    echo $! > "$dir/node-$i.pid"
  done
  for i in $(seq "$n"); do
    for _ in $(seq 120); do
      ! grep -q 'Kafka Server started' "$dir/node-$i.log" || continue 2
      sleep 0.5
      kill -0 "$(cat "$dir/node-$i.pid")" 2> /dev/null || break
    done
    tail -n 20 "$dir/node-$i.log" >&2
    stop "$dir"
    die "node $i did not start"
  done
  echo "$brokers"
}

stop() {
  local dir=${1:-$cache/cluster} i pid
  [ ! -d "$dir" ] || dir=$(cd "$dir" && pwd)
  for i in $(nodes "$dir"); do
    ! alive "$dir" "$i" || kill "$(cat "$dir/node-$i.pid")" 2> /dev/null || true
  done
  for i in $(nodes "$dir"); do
    pid=$(cat "$dir/node-$i.pid")
    # A node whose quorum is gone before it is waits for an answer that cannot come.
    for _ in $(seq 50); do
      alive "$dir" "$i" || break
      sleep 0.2
    done
    ! alive "$dir" "$i" || kill -KILL "$pid" 2> /dev/null || true
    rm -f "$dir/node-$i.pid"
  done
}

status() {
  local dir=${1:-$cache/cluster} i none=yes
  [ ! -d "$dir" ] || dir=$(cd "$dir" && pwd)
  for i in $(nodes "$dir"); do
    if alive "$dir" "$i"; then
      none=no
      echo "node $i: pid $(cat "$dir/node-$i.pid")," \
        "$(sed -n 's/^advertised.listeners=PLAINTEXT:..//p' "$dir/node-$i.properties")"
    fi
  done
  [ $none = no ] || { echo "no node runs in $dir"; exit 1; }
}

command=${1:-}
[ $# = 0 ] || shift
case $command in
  install | check | start | stop | status | configure | run) "$command" "$@" ;;
  tool) run_tool "$@" ;;
  *) sed -n '3,/^set /{/^set /d; s/^# \{0,1\}//; p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
