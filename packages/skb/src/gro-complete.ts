/* data path */
import { foldSum as foldSum_, sumBytes as sumBytes_ } from "./skb-checksum.ts";
import { PROTO_UDP as PROTO_UDP_ } from "./gro-headers.ts";
import { SHINFO_GSO as SHINFO_GSO_ } from "./shared-info.ts";
import {
  SKB_DATA as SKB_DATA_,
  SKB_FLAGS as SKB_FLAGS_,
  SKB_LEN as SKB_LEN_,
  SKB_SHINFO as SKB_SHINFO_,
  SkbFlag,
} from "./skb-record.ts";
import type { SkbSlab } from "./skb-slab.ts";

const PROTO_UDP = PROTO_UDP_;
const foldSum = foldSum_;
const sumBytes = sumBytes_;
const DATA = SKB_DATA_;
const FLAGS = SKB_FLAGS_;
const GSO = SHINFO_GSO_;
const SHINFO = SKB_SHINFO_;
const LEN = SKB_LEN_;
const CSUM_VALID = SkbFlag.CsumValid;
const CSUM_PARTIAL = SkbFlag.CsumPartial;
const NETWORK = 14;
const IPV4_BYTES = 20;

/**
 * Makes the headers of a merged packet say what it is now: lengths, IPv4 checksum, segments; the transport checksum is
 * left to whoever sends it on (kernel: `inet_gro_complete`, `tcp_gro_complete`, `udp_gro_complete`). Packets of a
 * fragment list keep their own checksums.
 */
export function completeGro(
  slab: SkbSlab,
  at: number,
  transport: number,
  protocol: number,
  segBytes: number,
  segments: number,
  isList: boolean,
): void {
  const i32 = slab.i32;
  const { u8 } = slab.host;
  const data = i32[at + DATA]!;
  const len = i32[at + LEN]!;
  const isIpv4 = transport === NETWORK + IPV4_BYTES;
  if (isIpv4) writeIpv4Length(u8, data + NETWORK, len - NETWORK);
  else put16(u8, data + NETWORK + 4, len - transport);
  if (protocol === PROTO_UDP) put16(u8, data + transport + 4, len - transport);
  i32[i32[at + SHINFO]! + GSO] = (segments << 16) | segBytes;
  const flags = i32[at + FLAGS]! & ~(CSUM_VALID | CSUM_PARTIAL);
  i32[at + FLAGS] = flags | (isList ? CSUM_VALID : CSUM_PARTIAL);
  if (isList) return;
  const addresses = isIpv4 ? 8 : 32;
  const sum = sumBytes(u8, data + transport - addresses, addresses) + protocol + len - transport;
  put16(u8, data + transport + (protocol === PROTO_UDP ? 6 : 16), foldSum(sum));
}

function writeIpv4Length(u8: Uint8Array, at: number, len: number): void {
  put16(u8, at + 2, len);
  put16(u8, at + 10, 0);
  put16(u8, at + 10, ~sumBytes(u8, at, IPV4_BYTES));
}

function put16(u8: Uint8Array, at: number, value: number): void {
  u8[at] = value >>> 8;
  u8[at + 1] = value;
}
