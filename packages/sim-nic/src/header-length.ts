/* data path */
import { FlowKey, FlowKind } from "./flow-key.ts";

const IPV4_PORTS = FlowKind.Ipv4Ports;
const IPV6_PORTS = FlowKind.Ipv6Ports;
const PROTO_TCP = 6;
const UDP_BYTES = 8;
const MIN_TCP_BYTES = 20;
/** Where a TCP header says how long it is, in words, in the upper four bits. */
const TCP_DATA_OFFSET = 12;

/** Where hardware splits a packet. One per queue, reused. */
export class HeaderLength {
  private readonly key: FlowKey = new FlowKey();

  /**
   * Bytes before the payload of the frame of `lenBytes` bytes at `at`: through TCP or UDP. 0 for what is neither, for
   * fragments, and for a header that is cut off.
   */
  of(bytes: Uint8Array, at: number, lenBytes: number): number {
    const { key } = this;
    const kind = key.parse(bytes, at, lenBytes);
    if (kind !== IPV4_PORTS && kind !== IPV6_PORTS) return 0;
    const l4 = key.portsAt;
    const headerBytes = key.proto === PROTO_TCP ? tcpBytes(bytes, l4, at + lenBytes) : UDP_BYTES;
    const total = l4 - at + headerBytes;
    return headerBytes === 0 || total > lenBytes ? 0 : total;
  }
}

function tcpBytes(bytes: Uint8Array, l4: number, end: number): number {
  if (l4 + MIN_TCP_BYTES > end) return 0;
  const headerBytes = (bytes[l4 + TCP_DATA_OFFSET]! >> 4) << 2;
  return headerBytes < MIN_TCP_BYTES ? 0 : headerBytes;
}
