import { buildPacket, fillPattern, findPatternMismatch, ipv4Address, macAddress } from "@netmem/testing";

/** Ethernet, IPv4 without options, UDP or the first bytes of TCP; then the packet's number and a pattern made from it. */
const PROTOCOL_AT = 23;
const UDP = 17;
const NUMBER_AT = 60;
const PATTERN_AT = 64;
const MIN_FRAME_BYTES = 128;
const MAX_FRAME_BYTES = 1514;

const link = { srcMac: macAddress("02:00:00:00:00:01"), dstMac: macAddress("02:00:00:00:00:02") };
const addresses = { src: ipv4Address("10.0.0.1"), dst: ipv4Address("10.0.0.2") };

/** Writes packet `number` to `bytes` and returns its length. Every fourth is TCP, which nobody wants. */
export function writePacket(bytes: Uint8Array, number: number): number {
  const frameBytes = MIN_FRAME_BYTES + (number % (MAX_FRAME_BYTES - MIN_FRAME_BYTES));
  const ports = { srcPort: 1000 + (number % 100), dstPort: 5000 };
  buildPacket(bytes, 0, {
    ethernet: link,
    network: { kind: "ipv4", ...addresses },
    transport: number % 4 === 0 ? { kind: "tcp", ...ports } : { kind: "udp", ...ports },
    frameBytes,
  });
  new DataView(bytes.buffer, bytes.byteOffset).setInt32(NUMBER_AT, number);
  fillPattern(bytes, PATTERN_AT, frameBytes - PATTERN_AT, number);
  return frameBytes;
}

/** Whether the packet at `at` is one that the sink wants. */
export function isWanted(bytes: Uint8Array, at: number): boolean {
  return bytes[at + PROTOCOL_AT] === UDP;
}

/** Whether the packet of `lenBytes` bytes at `at` is as {@link writePacket} made it, payload and all. */
export function isWhole(bytes: Uint8Array, at: number, lenBytes: number): boolean {
  const number = new DataView(bytes.buffer, bytes.byteOffset + at).getInt32(NUMBER_AT);
  return findPatternMismatch(bytes, at + PATTERN_AT, lenBytes - PATTERN_AT, number) === -1;
}
