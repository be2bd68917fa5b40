import { putU16 } from "./bytes.ts";
import { foldChecksum, sumWords } from "./internet-checksum.ts";

const IPV4_MIN_BYTES = 20;

/** An IPv4 header. */
export interface Ipv4Params {
  readonly kind: "ipv4";
  /** 4 bytes. */
  src: Uint8Array;
  /** 4 bytes. */
  dst: Uint8Array;
  /** 64 by default. */
  ttl?: number;
  /** DSCP and ECN, 0 by default. */
  tos?: number;
  /** Identification, 0 by default. */
  id?: number;
  dontFragment?: boolean;
  moreFragments?: boolean;
  /** A multiple of 8, 0 by default. */
  fragmentOffsetBytes?: number;
  /** Up to 40 bytes of options, padded here with zeros to a multiple of 4. */
  options?: Uint8Array;
}

/** The size of the header that {@link writeIpv4} writes: 20..60 bytes. */
export function ipv4Bytes(params: Ipv4Params): number {
  const optionsBytes = params.options?.length ?? 0;
  if (optionsBytes > 40) throw new RangeError(`IPv4 options: at most 40 bytes, got ${optionsBytes}`);
  return IPV4_MIN_BYTES + ((optionsBytes + 3) & ~3);
}

/** Writes the header at `off` with the checksum right. `lenBytes` counts what follows the header. */
export function writeIpv4(dst: Uint8Array, off: number, params: Ipv4Params, protocol: number, lenBytes: number): void {
  const headerBytes = ipv4Bytes(params);
  dst.fill(0, off, off + headerBytes);
  dst[off] = 0x40 | (headerBytes >>> 2);
  dst[off + 1] = params.tos ?? 0;
  putU16(dst, off + 2, headerBytes + lenBytes);
  putU16(dst, off + 4, params.id ?? 0);
  putU16(dst, off + 6, fragmentWord(params));
  dst[off + 8] = params.ttl ?? 64;
  dst[off + 9] = protocol;
  dst.set(params.src, off + 12);
  dst.set(params.dst, off + 16);
  if (params.options !== undefined) dst.set(params.options, off + IPV4_MIN_BYTES);
  putU16(dst, off + 10, foldChecksum(sumWords(dst, off, headerBytes)));
}

function fragmentWord(params: Ipv4Params): number {
  const offsetBytes = params.fragmentOffsetBytes ?? 0;
  if (offsetBytes % 8 !== 0 || offsetBytes < 0 || offsetBytes > 0xfff8) {
    throw new RangeError(`IPv4 fragment offset: a multiple of 8 in 0..65528, got ${offsetBytes}`);
  }
  return (params.dontFragment ? 0x4000 : 0) | (params.moreFragments ? 0x2000 : 0) | (offsetBytes >>> 3);
}
