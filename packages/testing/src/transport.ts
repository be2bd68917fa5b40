import { putU16, putU32 } from "./bytes.ts";

/** TCP flag bits. */
export const TcpFlag = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 } as const;

const CHECKSUM_OFFSETS = { tcp: 16, udp: 6, icmp: 2, raw: -1 } as const;

/** A TCP header. */
export interface TcpParams {
  readonly kind: "tcp";
  srcPort: number;
  dstPort: number;
  seq?: number;
  ack?: number;
  /** {@link TcpFlag} bits; ack by default. */
  flags?: number;
  /** 65535 by default. */
  window?: number;
  /** Up to 40 bytes, padded here with zeros to a multiple of 4. */
  options?: Uint8Array;
}

/** A UDP header. */
export interface UdpParams {
  readonly kind: "udp";
  srcPort: number;
  dstPort: number;
}

/** An ICMP header over IPv4, an ICMPv6 header over IPv6. Echo requests are type 8 and type 128. */
export interface IcmpParams {
  readonly kind: "icmp";
  type: number;
  code?: number;
  /** The header's second word: identifier and sequence number of an echo. */
  rest?: number;
}

/** No transport header: the payload follows the IP header. For other protocols, and for fragments made by hand. */
export interface RawParams {
  readonly kind: "raw";
  /** IP protocol number. */
  protocol: number;
}

export type TransportParams = TcpParams | UdpParams | IcmpParams | RawParams;

/** The IP protocol number. */
export function transportProtocol(params: TransportParams, overIpv6: boolean): number {
  if (params.kind === "raw") return params.protocol;
  if (params.kind === "icmp") return overIpv6 ? 58 : 1;
  return params.kind === "tcp" ? 6 : 17;
}

/** The size of the header that {@link writeTransport} writes: 0..60 bytes. */
export function transportBytes(params: TransportParams): number {
  if (params.kind === "raw") return 0;
  if (params.kind !== "tcp") return 8;
  const optionsBytes = params.options?.length ?? 0;
  if (optionsBytes > 40) throw new RangeError(`TCP options: at most 40 bytes, got ${optionsBytes}`);
  return 20 + ((optionsBytes + 3) & ~3);
}

/** Where the checksum stands in the header, or -1 if it has none. */
export function checksumOffset(params: TransportParams): number {
  return CHECKSUM_OFFSETS[params.kind];
}

/** Writes the header at `off` with a zero checksum. `payloadBytes` counts what follows. */
export function writeTransport(dst: Uint8Array, off: number, params: TransportParams, payloadBytes: number): void {
  dst.fill(0, off, off + transportBytes(params));
  if (params.kind === "tcp") writeTcp(dst, off, params);
  else if (params.kind === "udp") writeUdp(dst, off, params, payloadBytes);
  else if (params.kind === "icmp") writeIcmp(dst, off, params);
}

function writeTcp(dst: Uint8Array, off: number, params: TcpParams): void {
  putU16(dst, off, params.srcPort);
  putU16(dst, off + 2, params.dstPort);
  putU32(dst, off + 4, params.seq ?? 0);
  putU32(dst, off + 8, params.ack ?? 0);
  dst[off + 12] = (transportBytes(params) >>> 2) << 4;
  dst[off + 13] = params.flags ?? TcpFlag.ack;
  putU16(dst, off + 14, params.window ?? 0xffff);
  if (params.options !== undefined) dst.set(params.options, off + 20);
}

function writeUdp(dst: Uint8Array, off: number, params: UdpParams, payloadBytes: number): void {
  putU16(dst, off, params.srcPort);
  putU16(dst, off + 2, params.dstPort);
  putU16(dst, off + 4, 8 + payloadBytes);
}

function writeIcmp(dst: Uint8Array, off: number, params: IcmpParams): void {
  dst[off] = params.type;
  dst[off + 1] = params.code ?? 0;
  putU32(dst, off + 4, params.rest ?? 0);
}
