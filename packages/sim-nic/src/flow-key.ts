/* data path */

/** What a frame's flow is known by. */
export const FlowKind = {
  /** Not IP, or cut off: no hash. */
  None: 0,
  /** IPv4 addresses only: fragments, and protocols without ports. */
  Ipv4: 1,
  Ipv4Ports: 2,
  Ipv6: 3,
  Ipv6Ports: 4,
} as const;

const NONE = FlowKind.None;
const IPV4 = FlowKind.Ipv4;
const IPV4_PORTS = FlowKind.Ipv4Ports;
const IPV6 = FlowKind.Ipv6;
const IPV6_PORTS = FlowKind.Ipv6Ports;

const ETH_BYTES = 14;
const VLAN_BYTES = 4;
const MAX_VLAN_TAGS = 2;
const MAX_EXTENSIONS = 8;
const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;
const ETH_P_8021Q = 0x8100;
const ETH_P_8021AD = 0x88a8;
const PROTO_TCP = 6;
const PROTO_UDP = 17;
const HOP_BY_HOP = 0;
const ROUTING = 43;
const DEST_OPTIONS = 60;
/** IPv4: more fragments, or an offset. The don't-fragment bit says nothing. */
const FRAGMENT_BITS = 0x3fff;

/** Finds a frame's addresses and ports. One per queue or NIC, reused: results are in the fields until the next parse. */
export class FlowKey {
  /** {@link FlowKind} */
  kind = 0;
  /** Where the source address starts; the destination's follows. Valid unless `kind` is None. */
  addrAt = 0;
  /** Where the source port starts; the destination's follows. Valid for kinds with ports. */
  portsAt = 0;
  /** IP protocol, 6 or 17. Valid for kinds with ports. */
  proto = 0;

  /** Parses the `lenBytes` bytes at `at`: Ethernet, up to two VLAN tags, IPv4 or IPv6, TCP or UDP. Sets and returns `kind`. */
  parse(bytes: Uint8Array, at: number, lenBytes: number): number {
    const end = at + lenBytes;
    let l3 = at + ETH_BYTES;
    if (l3 > end) return (this.kind = NONE);
    let type = (bytes[at + 12]! << 8) | bytes[at + 13]!;
    for (let tags = 0; (type === ETH_P_8021Q || type === ETH_P_8021AD) && tags < MAX_VLAN_TAGS; tags++) {
      if (l3 + VLAN_BYTES > end) return (this.kind = NONE);
      type = (bytes[l3 + 2]! << 8) | bytes[l3 + 3]!;
      l3 += VLAN_BYTES;
    }
    if (type === ETH_P_IP) return (this.kind = this.parseIpv4(bytes, l3, end));
    return (this.kind = type === ETH_P_IPV6 ? this.parseIpv6(bytes, l3, end) : NONE);
  }

  private parseIpv4(bytes: Uint8Array, l3: number, end: number): number {
    if (l3 + 20 > end) return NONE;
    const first = bytes[l3]!;
    const headerBytes = (first & 15) << 2;
    if (first >> 4 !== 4 || headerBytes < 20) return NONE;
    this.addrAt = l3 + 12;
    const proto = bytes[l3 + 9]!;
    const fragment = ((bytes[l3 + 6]! << 8) | bytes[l3 + 7]!) & FRAGMENT_BITS;
    const l4 = l3 + headerBytes;
    if ((proto !== PROTO_TCP && proto !== PROTO_UDP) || fragment !== 0 || l4 + 4 > end) return IPV4;
    this.portsAt = l4;
    this.proto = proto;
    return IPV4_PORTS;
  }

  private parseIpv6(bytes: Uint8Array, l3: number, end: number): number {
    if (l3 + 40 > end || bytes[l3]! >> 4 !== 6) return NONE;
    this.addrAt = l3 + 8;
    let next = bytes[l3 + 6]!;
    let l4 = l3 + 40;
    for (let n = 0; n < MAX_EXTENSIONS && (next === HOP_BY_HOP || next === ROUTING || next === DEST_OPTIONS); n++) {
      if (l4 + 8 > end) return IPV6;
      next = bytes[l4]!;
      l4 += (bytes[l4 + 1]! + 1) << 3;
    }
    if ((next !== PROTO_TCP && next !== PROTO_UDP) || l4 + 4 > end) return IPV6;
    this.portsAt = l4;
    this.proto = next;
    return IPV6_PORTS;
  }
}
