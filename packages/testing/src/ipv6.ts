import { putU16, putU32 } from "./bytes.ts";

/** The size of an IPv6 header without extension headers. */
export const IPV6_BYTES = 40;
/** The size of the fragment extension header. */
export const IPV6_FRAGMENT_BYTES = 8;

const NEXT_HEADER_FRAGMENT = 44;

/** What a fragment extension header says. */
export interface Ipv6Fragment {
  id: number;
  /** A multiple of 8. */
  offsetBytes: number;
  more: boolean;
}

/** An IPv6 header, with a fragment extension header if `fragment` is given. */
export interface Ipv6Params {
  readonly kind: "ipv6";
  /** 16 bytes. */
  src: Uint8Array;
  /** 16 bytes. */
  dst: Uint8Array;
  /** 64 by default. */
  hopLimit?: number;
  trafficClass?: number;
  /** 20 bits, 0 by default. */
  flowLabel?: number;
  fragment?: Ipv6Fragment;
}

/** The size of what {@link writeIpv6} writes: 40 or 48 bytes. */
export function ipv6Bytes(params: Ipv6Params): number {
  return params.fragment === undefined ? IPV6_BYTES : IPV6_BYTES + IPV6_FRAGMENT_BYTES;
}

/** Writes the header at `off`. `lenBytes` counts what follows, without the fragment header. */
export function writeIpv6(dst: Uint8Array, off: number, params: Ipv6Params, protocol: number, lenBytes: number): void {
  const fragment = params.fragment;
  putU32(dst, off, 0x60000000 | ((params.trafficClass ?? 0) << 20) | (params.flowLabel ?? 0));
  putU16(dst, off + 4, lenBytes + (fragment === undefined ? 0 : IPV6_FRAGMENT_BYTES));
  dst[off + 6] = fragment === undefined ? protocol : NEXT_HEADER_FRAGMENT;
  dst[off + 7] = params.hopLimit ?? 64;
  dst.set(params.src, off + 8);
  dst.set(params.dst, off + 24);
  if (fragment !== undefined) writeFragmentHeader(dst, off + IPV6_BYTES, fragment, protocol);
}

function writeFragmentHeader(dst: Uint8Array, off: number, fragment: Ipv6Fragment, protocol: number): void {
  const offsetBytes = fragment.offsetBytes;
  if (offsetBytes % 8 !== 0 || offsetBytes < 0 || offsetBytes > 0xfff8) {
    throw new RangeError(`IPv6 fragment offset: a multiple of 8 in 0..65528, got ${offsetBytes}`);
  }
  dst[off] = protocol;
  dst[off + 1] = 0;
  putU16(dst, off + 2, offsetBytes | (fragment.more ? 1 : 0));
  putU32(dst, off + 4, fragment.id);
}
