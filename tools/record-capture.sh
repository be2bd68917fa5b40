#!/usr/bin/env bash
# Records examples/mixed-nic/capture/mixed.pcap: real traffic of the kernel's own stack between two network namespaces.
#
#   sudo npx --yes pnpm@12 exec tools/record-capture.sh [OUTPUT]
#
# Everything happens in a network, mount and process namespace of its own: no interface of this machine is visible from
# there, and whatever ends the script, even SIGKILL, ends every process in it and removes what it made.
set -euo pipefail

repo="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
MAX_SECONDS=180
default_output="$repo/examples/mixed-nic/capture/mixed.pcap"

die() {
  echo "record-capture: $*" >&2
  exit 1
}

check_tools() {
  [ "$(uname -s)" = Linux ] || die "needs Linux"
  [ "$(id -u)" = 0 ] || die "needs root to make network namespaces: run it with sudo"
  local missing=() pair
  for pair in ip:iproute2 tcpdump:tcpdump ethtool:ethtool ping:iputils-ping unshare:util-linux; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  [ "${#missing[@]}" = 0 ] || die "missing tools; on Debian: apt-get install ${missing[*]}"
  node -e 'process.exit(process.features.typescript ? 0 : 1)' 2>/dev/null ||
    die "needs the Node.js of this repository: run it through 'npx --yes pnpm@12 exec tools/record-capture.sh'"
}

if [ "${1:-}" != --inside ]; then
  check_tools
  output="$(realpath -m "${1:-$default_output}")"
  mkdir -p "$(dirname "$output")"
  exec timeout --foreground --kill-after=5 "$MAX_SECONDS" \
    unshare --net --mount --pid --fork --kill-child --mount-proc "$0" --inside "$output"
fi

# From here on: inside the namespaces that unshare made.
output="$2"
work=/run/netns/work
left="nm-left-$$"
right="nm-right-$$"
tcpdump_pid=""

cleanup() {
  [ -z "$tcpdump_pid" ] || kill -KILL "$tcpdump_pid" 2>/dev/null || true
  for ns in "$left" "$right"; do
    ip netns pids "$ns" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
    ip netns del "$ns" 2>/dev/null || true
  done
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Namespace names are files under /run/netns. A private one, used for our own files too, leaves nothing behind.
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
mkdir "$work"

# end NAMESPACE INTERFACE NUMBER: one end of the wire. Net 0 has jumbo frames, net 1 has routes with an MTU of 1500.
setup_end() {
  local ns="$1" dev="$2" nr="$3"
  ip -n "$ns" link set lo up
  ip -n "$ns" link set "$dev" address "02:00:00:00:00:0$nr" mtu 9000
  # A wire carries single frames with checksums in them, not what the stack leaves to the hardware.
  ip netns exec "$ns" ethtool -K "$dev" tso off gso off gro off tx off rx off >/dev/null
  ip netns exec "$ns" ethtool -K "$dev" txvlan off rxvlan off >/dev/null 2>&1 || true
  ip -n "$ns" link set "$dev" up
  ip -n "$ns" addr add "10.77.0.$nr/24" dev "$dev"
  ip -n "$ns" addr add "10.77.1.$nr/24" dev "$dev" noprefixroute
  ip -n "$ns" -6 addr add "fd00:77::$nr/64" dev "$dev" nodad
  ip -n "$ns" -6 addr add "fd00:77:1::$nr/64" dev "$dev" nodad noprefixroute
  ip -n "$ns" route add 10.77.1.0/24 dev "$dev" src "10.77.1.$nr" mtu 1500
  ip -n "$ns" -6 route add fd00:77:1::/64 dev "$dev" mtu 1500
}

ip netns add "$left"
ip netns add "$right"
ip link add nm0 netns "$left" type veth peer name nm1 netns "$right"
setup_end "$left" nm0 1
setup_end "$right" nm1 2

# "ip netns exec" becomes the program it starts, so that $! is the program's own id.
ip netns exec "$left" tcpdump -i nm0 -n -s 0 -B 16384 --time-stamp-precision=nano -Z root -w "$work/mixed.pcap" 2>"$work/tcpdump.log" &
tcpdump_pid=$!
for _ in $(seq 100); do
  grep -q "listening on" "$work/tcpdump.log" && break
  sleep 0.05
done
grep -q "listening on" "$work/tcpdump.log" || die "tcpdump did not start: $(cat "$work/tcpdump.log")"

ip netns exec "$right" node "$repo/tools/record-capture/server.ts" &
server_pid=$!

# -p fixes the payload. The largest fill a frame of 9000 bytes; those of 4000 become fragments in net 1.
ping_once() { timeout 20 ip netns exec "$left" ping -n -q -c "$1" -i 0.01 -s "$2" -p a5 "$3" >/dev/null; }

ping_all() {
  local size target
  for size in 18 56 512 1472; do
    ping_once 3 "$size" 10.77.0.2
    ping_once 3 "$size" fd00:77::2
  done
  ping_once 1 8972 10.77.0.2
  ping_once 1 8952 fd00:77::2
  for target in 10.77.1.2 fd00:77:1::2; do ping_once 2 4000 "$target"; done
}

# Forgetting the neighbours makes each side ask again, by ARP and by neighbour discovery.
forget_neighbours() {
  ip -n "$left" neigh flush dev nm0
  ip -n "$right" neigh flush dev nm1
}

ping_all
forget_neighbours
timeout 60 ip netns exec "$left" node "$repo/tools/record-capture/client.ts"
forget_neighbours
ping_all

kill "$server_pid"
wait "$server_pid" 2>/dev/null || true
sleep 0.3
# Not SIGINT: the shell starts background programs with that one ignored.
kill -TERM "$tcpdump_pid"
wait "$tcpdump_pid" || die "tcpdump failed: $(cat "$work/tcpdump.log")"
tcpdump_pid=""
grep -q "^0 packets dropped by kernel" "$work/tcpdump.log" || die "tcpdump lost packets: $(cat "$work/tcpdump.log")"

install -m 644 "$work/mixed.pcap" "$output"
node "$repo/tools/record-capture/describe.ts" "$output"
