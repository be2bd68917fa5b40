const POLYNOMIAL = 0xedb88320;

const CRC_TABLE: Int32Array = makeTable();

/**
 * CRC-32 (IEEE 802.3, as in zlib) over `lenBytes` bytes from `off`, as a signed 32-bit integer so that no call makes a
 * heap number; `>>> 0` gives the usual unsigned form. To go on over several ranges, pass the last result as `crc`.
 */
export function crc32(bytes: Uint8Array, off: number, lenBytes: number, crc = 0): number {
  if (off < 0 || lenBytes < 0 || off + lenBytes > bytes.length) {
    throw new RangeError(`crc32: ${lenBytes} bytes at ${off} are not inside ${bytes.length} bytes`);
  }
  const table = CRC_TABLE;
  let rest = ~crc;
  for (let at = off; at < off + lenBytes; at++) rest = table[(rest ^ bytes[at]!) & 0xff]! ^ (rest >>> 8);
  return ~rest;
}

function makeTable(): Int32Array {
  const table = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let rest = byte;
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ POLYNOMIAL : rest >>> 1;
    table[byte] = rest;
  }
  return table;
}
