/*
 * data path
 *
 * What GRO wants to know of an Ethernet frame: where its headers are, and its flow as sixteen words that are equal for two
 * packets of one flow and differ otherwise. Offsets count from the first byte of the packet.
 */
import { sumBytes as sumBytes_ } from "./skb-checksum.ts";

const sumBytes = sumBytes_;
const ETHERNET_BYTES = 14;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const TCP_BYTES = 20;
const UDP_BYTES = 8;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
/** IPv4, five words of header. */
const IPV4_START = 0x45;
const MORE_OR_OFFSET = 0x3fff;
const DONT_FRAGMENT = 0x4000;

export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const FLOW_WORDS = 16;

/** Results of {@link GroHeaders.parse}; more is the number of bytes that must be linear first. */
export const NOT_GRO = 0;
export const IS_GRO = 1;

/** The headers of the packet at hand. One per table, reused. */
export class GroHeaders {
  declare readonly flow: Int32Array;
  declare flowHash: number;
  declare transport: number;
  declare payload: number;
  declare protocol: number;
  declare isIpv6: boolean;
  /** Time to live and type of service, or their IPv6 counterparts, and Don't Fragment: equal in packets that merge. */
  declare hopWord: number;
  /** IPv4 identification. */
  declare ipId: number;
  /** The lengths in the headers are not those of the packet. */
  declare isBroken: boolean;

  constructor() {
    this.flow = new Int32Array(FLOW_WORDS);
    this.flowHash = 0;
    this.transport = 0;
    this.payload = 0;
    this.protocol = 0;
    this.isIpv6 = false;
    this.hopWord = 0;
    this.ipId = 0;
    this.isBroken = false;
  }

  /** Reads the packet of `len` bytes whose first `headLen` bytes are at arena byte offset `data`. */
  parse(u8: Uint8Array, data: number, headLen: number, len: number): number {
    if (len < ETHERNET_BYTES + IPV4_BYTES + UDP_BYTES) return NOT_GRO;
    if (headLen < ETHERNET_BYTES + IPV4_BYTES) return ETHERNET_BYTES + IPV4_BYTES;
    const type = u16(u8, data + 12);
    if (type === ETHERTYPE_IPV4) return this.parseIpv4(u8, data, headLen, len);
    return type === ETHERTYPE_IPV6 ? this.parseIpv6(u8, data, headLen, len) : NOT_GRO;
  }

  private parseIpv4(u8: Uint8Array, data: number, headLen: number, len: number): number {
    const at = data + ETHERNET_BYTES;
    const fragment = u16(u8, at + 6);
    if (u8[at] !== IPV4_START || (fragment & MORE_OR_OFFSET) !== 0) return NOT_GRO;
    if (sumBytes(u8, at, IPV4_BYTES) !== 0xffff) return NOT_GRO;
    this.isIpv6 = false;
    this.protocol = u8[at + 9]!;
    this.transport = ETHERNET_BYTES + IPV4_BYTES;
    this.isBroken = u16(u8, at + 2) !== len - ETHERNET_BYTES;
    this.hopWord = (u8[at + 8]! << 8) | u8[at + 1]! | ((fragment & DONT_FRAGMENT) << 2);
    this.ipId = u16(u8, at + 4);
    const result = this.parseTransport(u8, data, headLen, len);
    if (result !== IS_GRO) return result;
    this.flow.fill(0);
    this.flow[4] = u32(u8, at + 12);
    this.flow[5] = u32(u8, at + 16);
    return this.finish(u8, data);
  }

  private parseIpv6(u8: Uint8Array, data: number, headLen: number, len: number): number {
    const at = data + ETHERNET_BYTES;
    if (headLen < ETHERNET_BYTES + IPV6_BYTES) {
      return len < ETHERNET_BYTES + IPV6_BYTES ? NOT_GRO : ETHERNET_BYTES + IPV6_BYTES;
    }
    const first = u32(u8, at);
    if (first >>> 28 !== 6) return NOT_GRO;
    this.isIpv6 = true;
    this.protocol = u8[at + 6]!;
    this.transport = ETHERNET_BYTES + IPV6_BYTES;
    this.isBroken = u16(u8, at + 4) !== len - this.transport;
    this.hopWord = (u8[at + 7]! << 8) | ((first >>> 20) & 0xff);
    this.ipId = 0;
    const result = this.parseTransport(u8, data, headLen, len);
    if (result !== IS_GRO) return result;
    for (let n = 0; n < 8; n++) this.flow[4 + n] = u32(u8, at + 8 + n * 4);
    this.flow[12] = first & 0xfffff;
    return this.finish(u8, data);
  }

  private parseTransport(u8: Uint8Array, data: number, headLen: number, len: number): number {
    const from = this.transport;
    if (this.protocol === PROTO_UDP) {
      if (headLen < from + UDP_BYTES) return len < from + UDP_BYTES ? NOT_GRO : from + UDP_BYTES;
      this.payload = from + UDP_BYTES;
      const udpLen = u16(u8, data + from + 4);
      this.isBroken = this.isBroken || udpLen !== len - from;
      // Without a checksum a merged datagram could not be told from a damaged one.
      return udpLen <= UDP_BYTES || u16(u8, data + from + 6) === 0 ? NOT_GRO : IS_GRO;
    }
    if (this.protocol !== PROTO_TCP) return NOT_GRO;
    if (headLen < from + TCP_BYTES) return len < from + TCP_BYTES ? NOT_GRO : from + TCP_BYTES;
    const headerBytes = (u8[data + from + 12]! >>> 4) << 2;
    if (headerBytes < TCP_BYTES || len < from + headerBytes) return NOT_GRO;
    this.payload = from + headerBytes;
    return headLen < this.payload ? this.payload : IS_GRO;
  }

  /** The words that both versions have: link layer, ports, protocol. */
  private finish(u8: Uint8Array, data: number): number {
    const { flow } = this;
    flow[0] = u32(u8, data);
    flow[1] = u32(u8, data + 4);
    flow[2] = u32(u8, data + 8);
    flow[3] = (u16(u8, data + 12) << 8) | this.protocol;
    flow[13] = u32(u8, data + this.transport);
    let hash = 0;
    for (let n = 4; n < 14; n++) hash = Math.imul(hash ^ flow[n]!, 0x9e3779b1) ^ (hash >>> 15);
    this.flowHash = hash | 0;
    return IS_GRO;
  }
}

export function u16(u8: Uint8Array, at: number): number {
  return (u8[at]! << 8) | u8[at + 1]!;
}

export function u32(u8: Uint8Array, at: number): number {
  return (u8[at]! << 24) | (u8[at + 1]! << 16) | (u8[at + 2]! << 8) | u8[at + 3]!;
}
