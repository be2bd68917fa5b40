/*
 * data path
 *
 * Toeplitz hash by table: one table of 256 words per input byte position, so a byte costs one load and one xor. The
 * positions of an IPv4 input (12 bytes) are the first of an IPv6 one (36), so both share the tables: 36 KiB.
 */
import { checkInt, failParam } from "@netmem/core";

const KEY_BYTES = 40;
const INPUT_BYTES = 36;
const POSITIONS = 256;

/** The key of Microsoft's RSS specification, which most drivers use by default. */
export const RSS_DEFAULT_KEY: readonly number[] = [
  0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
  0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
  0x01, 0xfa,
];

/** Receive-side scaling hash. Results are signed 32-bit integers; `>>> 0` gives the usual form. */
export class Toeplitz {
  declare private readonly tables: Int32Array;

  /**
   * @param key 40 bytes; {@link RSS_DEFAULT_KEY} by default.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL)
   */
  constructor(key: ArrayLike<number> = RSS_DEFAULT_KEY) {
    if (key.length !== KEY_BYTES) {
      failParam("key.length", key.length, `${KEY_BYTES} bytes`, "Pass a key of 40 bytes, or leave it out.");
    }
    for (let n = 0; n < KEY_BYTES; n++) checkInt(`key[${n}]`, key[n]!, 0, 255);
    this.tables = makeTables(key);
  }

  /** Hash of `lenBytes` bytes, at most 36. */
  hash(bytes: Uint8Array, at: number, lenBytes: number): number {
    return this.mix(bytes, at, lenBytes, 0);
  }

  /** Hash of the 8 bytes of two IPv4 addresses at `addrAt`. */
  hashIpv4(bytes: Uint8Array, addrAt: number): number {
    const t = this.tables;
    return (
      t[bytes[addrAt]!]! ^
      t[0x100 | bytes[addrAt + 1]!]! ^
      t[0x200 | bytes[addrAt + 2]!]! ^
      t[0x300 | bytes[addrAt + 3]!]! ^
      t[0x400 | bytes[addrAt + 4]!]! ^
      t[0x500 | bytes[addrAt + 5]!]! ^
      t[0x600 | bytes[addrAt + 6]!]! ^
      t[0x700 | bytes[addrAt + 7]!]!
    );
  }

  /** As {@link hashIpv4}, with the 4 bytes of two ports at `portsAt`. 4 ns. */
  hashIpv4Ports(bytes: Uint8Array, addrAt: number, portsAt: number): number {
    const t = this.tables;
    return (
      this.hashIpv4(bytes, addrAt) ^
      t[0x800 | bytes[portsAt]!]! ^
      t[0x900 | bytes[portsAt + 1]!]! ^
      t[0xa00 | bytes[portsAt + 2]!]! ^
      t[0xb00 | bytes[portsAt + 3]!]!
    );
  }

  /** Hash of the 32 bytes of two IPv6 addresses at `addrAt`. */
  hashIpv6(bytes: Uint8Array, addrAt: number): number {
    return this.mix(bytes, addrAt, 32, 0);
  }

  /** As {@link hashIpv6}, with the 4 bytes of two ports at `portsAt`. */
  hashIpv6Ports(bytes: Uint8Array, addrAt: number, portsAt: number): number {
    return this.mix(bytes, addrAt, 32, 0) ^ this.mix(bytes, portsAt, 4, 32);
  }

  private mix(bytes: Uint8Array, at: number, lenBytes: number, firstPosition: number): number {
    const t = this.tables;
    let hash = 0;
    for (let n = 0; n < lenBytes; n++) hash ^= t[((firstPosition + n) << 8) | bytes[at + n]!]!;
    return hash;
  }
}

/** Control path. */
function makeTables(key: ArrayLike<number>): Int32Array {
  const tables = new Int32Array(INPUT_BYTES * POSITIONS);
  for (let position = 0; position < INPUT_BYTES; position++) {
    for (let value = 0; value < POSITIONS; value++) {
      let hash = 0;
      for (let bit = 0; bit < 8; bit++) if ((value & (0x80 >> bit)) !== 0) hash ^= keyWindow(key, position * 8 + bit);
      tables[position * POSITIONS + value] = hash;
    }
  }
  return tables;
}

/** The 32 key bits from bit `bitAt` on. */
function keyWindow(key: ArrayLike<number>, bitAt: number): number {
  let bits = 0;
  for (let n = 0; n < 32; n++) {
    const at = bitAt + n;
    bits = (bits << 1) | ((key[at >> 3]! >> (7 - (at & 7))) & 1);
  }
  return bits;
}
