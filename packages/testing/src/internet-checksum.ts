/** Adds `lenBytes` bytes from `off` to a running sum of big-endian 16-bit words; an odd last byte counts as a high byte. */
export function sumWords(bytes: Uint8Array, off: number, lenBytes: number, sum = 0): number {
  let total = sum;
  const evenEnd = off + (lenBytes & ~1);
  for (let at = off; at < evenEnd; at += 2) total += (bytes[at]! << 8) | bytes[at + 1]!;
  if (lenBytes & 1) total += bytes[evenEnd]! << 8;
  return total;
}

/** Folds a running sum to the 16-bit one's complement that goes into a header (RFC 1071). */
export function foldChecksum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = Math.floor(folded / 0x10000) + (folded % 0x10000);
  return ~folded & 0xffff;
}

/**
 * The sum of the pseudo header that TCP, UDP and ICMPv6 checksums include. `addresses` holds source and destination,
 * `addressesOff` is where the source starts and `addressBytes` is 4 or 16.
 */
export function sumPseudoHeader(
  addresses: Uint8Array,
  addressesOff: number,
  addressBytes: number,
  protocol: number,
  lenBytes: number,
): number {
  return sumWords(addresses, addressesOff, 2 * addressBytes) + protocol + (lenBytes >>> 16) + (lenBytes & 0xffff);
}
