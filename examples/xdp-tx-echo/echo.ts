import { type XdpProgram, XdpVerdict } from "@netmem/netdev";
import type { XdpBuff } from "@netmem/skb";

const ETHERTYPE_AT = 12;
const VERSION_AT = 14;
const FRAGMENT_AT = 20;
const PROTOCOL_AT = 23;
const SRC_IP_AT = 26;
const SRC_PORT_AT = 34;
const DST_PORT_AT = 36;
const HEADER_BYTES = 42;
const UDP = 17;

/**
 * A program that sends UDP packets for one port back to where they came from, in the buffers that they came in, and
 * leaves everything else to the stack. Swapping addresses keeps every checksum right.
 */
export function createEcho(u8: Uint8Array, port: number): XdpProgram {
  return (xdp) => {
    const at = xdp.data;
    if (!isUdpFor(u8, xdp, port)) return XdpVerdict.Pass;
    swap(u8, at, at + 6, 6);
    swap(u8, at + SRC_IP_AT, at + SRC_IP_AT + 4, 4);
    swap(u8, at + SRC_PORT_AT, at + DST_PORT_AT, 2);
    return XdpVerdict.Tx;
  };
}

/** IPv4 without options, not a fragment. */
function isUdpFor(u8: Uint8Array, xdp: XdpBuff, port: number): boolean {
  const at = xdp.data;
  if (xdp.dataEnd - at < HEADER_BYTES) return false;
  if (u8[at + ETHERTYPE_AT] !== 8 || u8[at + ETHERTYPE_AT + 1] !== 0 || u8[at + VERSION_AT] !== 0x45) return false;
  if (u8[at + PROTOCOL_AT] !== UDP || (u8[at + FRAGMENT_AT]! & 0x3f) !== 0 || u8[at + FRAGMENT_AT + 1] !== 0)
    return false;
  return ((u8[at + DST_PORT_AT]! << 8) | u8[at + DST_PORT_AT + 1]!) === port;
}

function swap(u8: Uint8Array, one: number, other: number, bytes: number): void {
  for (let n = 0; n < bytes; n++) {
    const byte = u8[one + n]!;
    u8[one + n] = u8[other + n]!;
    u8[other + n] = byte;
  }
}
