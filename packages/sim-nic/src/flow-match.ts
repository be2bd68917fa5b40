import { checkInt, failParam } from "@netmem/core";
import type { FlowRule } from "@netmem/netdev";

/*
 * What a packet is matched by, as ten words:
 *
 *   0     type    family 4 or 6 << 8 | protocol; bit 16: it has ports
 *   1     ports   source << 16 | destination
 *   2-5   source address, in network order; an IPv4 address is one word, the others are 0
 *   6-9   destination address
 */
export const MATCH_WORDS = 10;
export const MATCH_TYPE = 0;
export const MATCH_PORTS = 1;
export const MATCH_SRC = 2;
export const MATCH_DST = 6;
export const TYPE_HAS_PORTS = 0x10000;
export const TYPE_IPV4 = 0x400;
export const TYPE_IPV6 = 0x600;

const FAMILY_MASK = 0xff00;
const PROTO_MASK = 0xff;
const PROTOCOLS = { tcp: 6, udp: 17 } as const;

/** A rule as the hardware has it: a packet matches when `(word & mask) === value` for all of its words. */
export interface FlowMatch {
  readonly values: Int32Array;
  readonly masks: Int32Array;
  /** No wildcards: one flow. */
  readonly isExact: boolean;
}

/** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for a rule that contradicts itself. */
export function compileRule(rule: FlowRule): FlowMatch {
  const values = new Int32Array(MATCH_WORDS);
  const masks = new Int32Array(MATCH_WORDS);
  const family = familyOf(rule);
  if (family !== 0) setBits(values, masks, MATCH_TYPE, family, FAMILY_MASK);
  if (rule.protocol !== undefined) setProtocol(values, masks, rule.protocol);
  if (rule.srcPort !== undefined) setPort(values, masks, "srcPort", rule.srcPort, 16);
  if (rule.dstPort !== undefined) setPort(values, masks, "dstPort", rule.dstPort, 0);
  if (rule.src !== undefined) setAddress(values, masks, MATCH_SRC, rule.src);
  if (rule.dst !== undefined) setAddress(values, masks, MATCH_DST, rule.dst);
  const { protocol, src, dst, srcPort, dstPort } = rule;
  return { values, masks, isExact: [protocol, src, dst, srcPort, dstPort].every((field) => field !== undefined) };
}

export function isSameMatch(a: FlowMatch, b: FlowMatch): boolean {
  return a.values.every((value, n) => value === b.values[n]) && a.masks.every((mask, n) => mask === b.masks[n]);
}

/** The family's bits, 0 for any. */
function familyOf({ family, src, dst }: FlowRule): number {
  const named = family === undefined ? 0 : familyBits(family);
  const found = [named, src ? addressFamily("src", src) : 0, dst ? addressFamily("dst", dst) : 0];
  const [first = 0, ...rest] = found.filter((bits) => bits !== 0);
  if (rest.some((bits) => bits !== first)) failParam("family", family, "that of both addresses", "Use one IP version.");
  return first;
}

function familyBits(family: string): number {
  if (family === "ipv4") return TYPE_IPV4;
  return family === "ipv6" ? TYPE_IPV6 : failParam("family", family, "'ipv4' or 'ipv6'", "Leave it out for both.");
}

function addressFamily(param: string, address: ArrayLike<number>): number {
  if (address.length === 4) return TYPE_IPV4;
  return address.length === 16
    ? TYPE_IPV6
    : failParam(`${param}.length`, address.length, "4 or 16 bytes", "Pass the address in network order.");
}

function setProtocol(values: Int32Array, masks: Int32Array, protocol: string): void {
  const number = protocol === "tcp" || protocol === "udp" ? PROTOCOLS[protocol] : 0;
  if (number === 0) failParam("protocol", protocol, "'tcp' or 'udp'", "Leave it out for both.");
  setBits(values, masks, MATCH_TYPE, TYPE_HAS_PORTS | number, TYPE_HAS_PORTS | PROTO_MASK);
}

function setPort(values: Int32Array, masks: Int32Array, param: string, port: number, shift: number): void {
  checkInt(param, port, 0, 0xffff);
  setBits(values, masks, MATCH_TYPE, TYPE_HAS_PORTS, TYPE_HAS_PORTS);
  setBits(values, masks, MATCH_PORTS, port << shift, 0xffff << shift);
}

function setAddress(values: Int32Array, masks: Int32Array, at: number, address: ArrayLike<number>): void {
  for (let n = 0; n < address.length; n++) {
    const shift = 24 - 8 * (n & 3);
    setBits(values, masks, at + (n >> 2), checkInt(`address[${n}]`, address[n]!, 0, 255) << shift, 0xff << shift);
  }
}

function setBits(values: Int32Array, masks: Int32Array, word: number, bits: number, mask: number): void {
  values[word] = values[word]! | bits;
  masks[word] = masks[word]! | mask;
}
