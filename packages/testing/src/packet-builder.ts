import { ARP_BYTES, writeArp, type ArpParams } from "./arp.ts";
import { putU16 } from "./bytes.ts";
import { ethernetBytes, writeEthernet, type EthernetParams } from "./ethernet.ts";
import { foldChecksum, sumPseudoHeader, sumWords } from "./internet-checksum.ts";
import { ipv4Bytes, writeIpv4, type Ipv4Params } from "./ipv4.ts";
import { ipv6Bytes, writeIpv6, type Ipv6Params } from "./ipv6.ts";
import { fillPattern } from "./payload-pattern.ts";
import {
  checksumOffset,
  transportBytes,
  transportProtocol,
  writeTransport,
  type TransportParams,
} from "./transport.ts";

const DEFAULT_FRAME_BYTES = 60;
const MAX_IPV4_BYTES = 0xffff;

const EtherType = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;

/** One packet, from the outside in. The objects may be reused and changed between calls. */
export interface PacketSpec {
  /** Absent: no link layer, the packet starts with its IP header. */
  ethernet?: EthernetParams;
  network: Ipv4Params | Ipv6Params | ArpParams;
  /** Absent with ARP only. With fragment fields set it must be raw: see `fragmentPacket` for real fragments. */
  transport?: TransportParams;
  /** These bytes as payload. Otherwise {@link PacketSpec.payloadBytes} bytes of pattern. */
  payload?: Uint8Array;
  /** Otherwise as much payload as brings the frame to {@link PacketSpec.frameBytes}. */
  payloadBytes?: number;
  /** The seed of the payload pattern, 0 by default. */
  patternSeed?: number;
  /**
   * The size of the whole frame, without the frame check sequence; 60 by default, the least that Ethernet allows. A
   * packet that is smaller with its given payload is padded with zeros, one that is larger is left larger.
   */
  frameBytes?: number;
}

/**
 * Builds the packet at `off` of memory you own and returns its size in bytes. All checksums are right. Nothing is
 * written outside the packet.
 *
 * Throws RangeError when it does not fit into `dst`, into an IPv4 packet, or into `frameBytes`, and when a part that
 * the packet needs is missing.
 */
export function buildPacket(dst: Uint8Array, off: number, spec: PacketSpec): number {
  const linkBytes = spec.ethernet === undefined ? 0 : ethernetBytes(spec.ethernet);
  const network = spec.network;
  const headerBytes = linkBytes + headersBytes(spec);
  const payloadBytes = network.kind === "arp" ? 0 : payloadSize(spec, headerBytes);
  const packetBytes = headerBytes + payloadBytes;
  const frameBytes = Math.max(packetBytes, spec.frameBytes ?? minFrameBytes(spec));
  if (off < 0 || off + frameBytes > dst.length) {
    throw new RangeError(`a packet of ${frameBytes} bytes at ${off} does not fit into ${dst.length} bytes`);
  }
  if (network.kind === "arp") writeArp(dst, off + linkBytes, network);
  else writeIp(dst, off + linkBytes, network, spec, payloadBytes);
  if (spec.ethernet !== undefined) writeEthernet(dst, off, spec.ethernet, EtherType[network.kind]);
  dst.fill(0, off + packetBytes, off + frameBytes);
  return frameBytes;
}

function headersBytes(spec: PacketSpec): number {
  const network = spec.network;
  if (network.kind === "arp") return ARP_BYTES;
  return (network.kind === "ipv4" ? ipv4Bytes(network) : ipv6Bytes(network)) + transportBytes(transportOf(spec));
}

function transportOf(spec: PacketSpec): TransportParams {
  const transport = spec.transport;
  if (transport === undefined) throw new RangeError("an IP packet needs a transport; use { kind: 'raw', protocol }");
  if (transport.kind !== "raw" && isFragment(spec.network)) {
    throw new RangeError("a fragment is built with a raw transport, or whole and then cut by fragmentPacket");
  }
  return transport;
}

function isFragment(network: PacketSpec["network"]): boolean {
  if (network.kind === "ipv6") return network.fragment !== undefined;
  return network.kind === "ipv4" && (network.moreFragments === true || (network.fragmentOffsetBytes ?? 0) > 0);
}

function minFrameBytes(spec: PacketSpec): number {
  return spec.ethernet === undefined ? 0 : DEFAULT_FRAME_BYTES;
}

function payloadSize(spec: PacketSpec, headerBytes: number): number {
  if (spec.payload !== undefined) return spec.payload.length;
  if (spec.payloadBytes !== undefined) return spec.payloadBytes;
  const payloadBytes = (spec.frameBytes ?? DEFAULT_FRAME_BYTES) - headerBytes;
  if (payloadBytes >= 0) return payloadBytes;
  if (spec.frameBytes === undefined) return 0;
  throw new RangeError(`a frame of ${spec.frameBytes} bytes is too small for headers of ${headerBytes} bytes`);
}

function writeIp(
  dst: Uint8Array,
  off: number,
  network: Ipv4Params | Ipv6Params,
  spec: PacketSpec,
  payloadBytes: number,
): void {
  const transport = transportOf(spec);
  const isIpv6 = network.kind === "ipv6";
  const protocol = transportProtocol(transport, isIpv6);
  const transportOff = off + (isIpv6 ? ipv6Bytes(network) : ipv4Bytes(network));
  const lenBytes = transportBytes(transport) + payloadBytes;
  if (transportOff - off + lenBytes > MAX_IPV4_BYTES) throw new RangeError("an IP packet has at most 65535 bytes");
  writePayload(dst, transportOff + transportBytes(transport), spec, payloadBytes);
  writeTransport(dst, transportOff, transport, payloadBytes);
  if (isIpv6) writeIpv6(dst, off, network, protocol, lenBytes);
  else writeIpv4(dst, off, network, protocol, lenBytes);
  writeChecksum(dst, off, transportOff, lenBytes, transport, isIpv6);
}

function writePayload(dst: Uint8Array, off: number, spec: PacketSpec, payloadBytes: number): void {
  if (spec.payload === undefined) fillPattern(dst, off, payloadBytes, spec.patternSeed ?? 0);
  else dst.set(spec.payload, off);
}

function writeChecksum(
  dst: Uint8Array,
  ipOff: number,
  transportOff: number,
  lenBytes: number,
  transport: TransportParams,
  isIpv6: boolean,
): void {
  const at = checksumOffset(transport);
  if (at < 0) return;
  const protocol = transportProtocol(transport, isIpv6);
  let sum = sumWords(dst, transportOff, lenBytes);
  if (isIpv6) sum += sumPseudoHeader(dst, ipOff + 8, 16, protocol, lenBytes);
  else if (transport.kind !== "icmp") sum += sumPseudoHeader(dst, ipOff + 12, 4, protocol, lenBytes);
  const checksum = foldChecksum(sum);
  // A UDP checksum of zero on the wire means "none", so the other zero of one's complement is sent.
  putU16(dst, transportOff + at, checksum === 0 && transport.kind === "udp" ? 0xffff : checksum);
}
