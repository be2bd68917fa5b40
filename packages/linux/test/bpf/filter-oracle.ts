/*
 * Packets and rules at random, and what a rule says about a packet: read from what the packet was built from, not from
 * its bytes, so that it shares no parsing with the program under test.
 */
import {
  buildPacket,
  type EthernetParams,
  fragmentPacket,
  ipv4Address,
  ipv6Address,
  macAddress,
  type PacketSpec,
  type Prng,
  type TransportParams,
} from "@netmem/testing";
import type { FilterRule } from "../../src/bpf/filter-rule.ts";

/** What a packet is, as its sender would say. */
export interface KnownPacket {
  readonly bytes: Uint8Array;
  readonly etherType: number;
  readonly vlanId: number;
  /** Null where rules with a protocol do not match. */
  readonly protocol: number | null;
  readonly src: Uint8Array | null;
  readonly dst: Uint8Array | null;
  readonly srcPort: number | null;
  readonly dstPort: number | null;
}

const v4 = ["10.0.0.1", "10.0.0.2", "192.168.255.254"].map(ipv4Address);
const v6 = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(ipv6Address);
const ports = [53, 80, 65535];
const protocols = { icmp: [1, 58], tcp: [6, 6], udp: [17, 17], raw: [47, 47] } as const;
const kinds = ["icmp", "tcp", "udp", "raw"] as const;

const pick = <T>(prng: Prng, list: readonly T[]): T => list[prng.below(list.length)]!;

const srcMac = macAddress("02:00:00:00:00:01");
const dstMac = macAddress("02:00:00:00:00:02");

function build(spec: PacketSpec): Uint8Array {
  const buffer = new Uint8Array(2048);
  return buffer.slice(0, buildPacket(buffer, 0, spec));
}

/** A packet with its addresses, ports and options from small sets, so that rules hit; with ARP and fragments. */
export function randomPacket(prng: Prng): KnownPacket {
  const vlanId = prng.below(3) === 0 ? 1 + prng.below(2) : 0;
  const ethernet = { srcMac, dstMac, ...(vlanId > 0 && { vlanId, vlanPriority: prng.below(8) }) };
  return prng.below(10) === 0 ? arpPacket(ethernet, vlanId) : ipPacket(prng, ethernet, vlanId);
}

function arpPacket(ethernet: EthernetParams, vlanId: number): KnownPacket {
  const arp = { operation: 1, senderMac: srcMac, senderIp: v4[0]!, targetMac: dstMac, targetIp: v4[1]! };
  const bytes = build({ ethernet, network: { kind: "arp", ...arp } });
  return { bytes, etherType: 0x0806, vlanId, protocol: null, src: null, dst: null, srcPort: null, dstPort: null };
}

function ipPacket(prng: Prng, ethernet: EthernetParams, vlanId: number): KnownPacket {
  const isIpv6 = prng.below(2) === 1;
  const list = isIpv6 ? v6 : v4;
  const [src, dst] = [pick(prng, list), pick(prng, list)];
  const [srcPort, dstPort] = [pick(prng, ports), pick(prng, ports)];
  const kind = pick(prng, kinds);
  const options = new Uint8Array(!isIpv6 && prng.below(3) === 0 ? 4 * (1 + prng.below(10)) : 0);
  const network = isIpv6 ? { kind: "ipv6" as const, src, dst } : { kind: "ipv4" as const, src, dst, options };
  const transport = transportOf(kind, srcPort, dstPort);
  const bytes = build({ ethernet, network, transport, payloadBytes: prng.below(200) });
  const address = { etherType: isIpv6 ? 0x86dd : 0x0800, vlanId, src, dst };
  if (bytes.length > 200 && options.length === 0 && prng.below(3) === 0) {
    const piece = pick(prng, fragmentPacket(bytes, 100, 7));
    return { ...address, bytes: piece, protocol: null, srcPort: null, dstPort: null };
  }
  const protocol = protocols[kind][isIpv6 ? 1 : 0];
  if (kind === "icmp" || kind === "raw") return { ...address, bytes, protocol, srcPort: null, dstPort: null };
  return { ...address, bytes, protocol, srcPort, dstPort };
}

function transportOf(kind: (typeof kinds)[number], srcPort: number, dstPort: number): TransportParams {
  if (kind === "icmp") return { kind, type: 8 };
  return kind === "raw" ? { kind, protocol: 47 } : { kind, srcPort, dstPort };
}

/** A rule of up to seven fields, of one family. */
export function randomRule(prng: Prng): FilterRule {
  const isIpv6 = prng.below(2) === 1;
  const list = isIpv6 ? v6 : v4;
  const some = (): boolean => prng.below(4) === 0;
  return {
    ...(prng.below(8) === 0 ? { etherType: isIpv6 ? 0x86dd : 0x0800 } : {}),
    ...(prng.below(6) === 0 ? { vlanId: 1 + prng.below(2) } : {}),
    ...(some() ? { family: isIpv6 ? ("ipv6" as const) : ("ipv4" as const) } : {}),
    ...(some() ? { protocol: pick(prng, ["icmp", "tcp", "udp", "icmpv6", 47] as const) } : {}),
    ...(some() ? { src: pick(prng, list) } : {}),
    ...(some() ? { dst: pick(prng, list) } : {}),
    ...(some() ? { srcPort: pick(prng, ports) } : {}),
    ...(some() ? { dstPort: pick(prng, ports) } : {}),
  };
}

const numbers = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;
const isSame = (left: Uint8Array | null, right: ArrayLike<number>): boolean =>
  left !== null && left.length === right.length && left.every((byte, n) => byte === right[n]);

/** Whether the rule takes the packet. */
export function matches(rule: FilterRule, packet: KnownPacket): boolean {
  const family = packet.etherType === 0x0800 ? "ipv4" : packet.etherType === 0x86dd ? "ipv6" : "none";
  const { protocol } = rule;
  const wanted = typeof protocol === "string" ? numbers[protocol] : protocol;
  return (
    (rule.etherType === undefined || rule.etherType === packet.etherType) &&
    (rule.vlanId === undefined || rule.vlanId === packet.vlanId) &&
    (rule.family === undefined || rule.family === family) &&
    (wanted === undefined || wanted === packet.protocol) &&
    (rule.src === undefined || isSame(packet.src, rule.src)) &&
    (rule.dst === undefined || isSame(packet.dst, rule.dst)) &&
    (rule.srcPort === undefined || rule.srcPort === packet.srcPort) &&
    (rule.dstPort === undefined || rule.dstPort === packet.dstPort)
  );
}
