const ETHERNET_BYTES = 14;
const IPV4_BYTES = 20;
const TCP_BYTES = 20;
const TCP = 6;

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** Where a TCP packet's payload is, and whose it is. One record, reused. */
export class TcpSegment {
  /** Addresses and ports. */
  flow = "";
  /** Bytes in front of the payload. */
  headerBytes = 0;
  /** Bytes of payload, as the IP header says: Ethernet may have padded the frame. */
  payloadBytes = 0;

  /**
   * Reads the headers of an Ethernet frame of `lenBytes` bytes at `at`; false for anything but unfragmented TCP with
   * payload, all of it there: what headers say is believed as far as the frame goes.
   */
  parse(bytes: Uint8Array, at: number, lenBytes: number): boolean {
    if (lenBytes < ETHERNET_BYTES + IPV4_BYTES + TCP_BYTES) return false;
    const ip = at + ETHERNET_BYTES;
    const isIpv6 = u16(bytes, at + 12) === 0x86dd;
    if (!isIpv6 && u16(bytes, at + 12) !== 0x0800) return false;
    if ((isIpv6 ? bytes[ip + 6] : bytes[ip + 9]) !== TCP || (!isIpv6 && (u16(bytes, ip + 6) & 0x3fff) !== 0))
      return false;
    const ipBytes = isIpv6 ? 40 : (bytes[ip]! & 15) * 4;
    const packetBytes = isIpv6 ? 40 + u16(bytes, ip + 4) : u16(bytes, ip + 2);
    const tcp = ip + ipBytes;
    const tcpBytes = (bytes[tcp + 12]! >>> 4) * 4;
    const addresses = bytes.subarray(isIpv6 ? ip + 8 : ip + 12, isIpv6 ? ip + 40 : ip + 20);
    this.flow = `${addresses.join(".")} ${u16(bytes, tcp)}>${u16(bytes, tcp + 2)}`;
    this.headerBytes = ETHERNET_BYTES + ipBytes + tcpBytes;
    this.payloadBytes = packetBytes - ipBytes - tcpBytes;
    return tcpBytes >= TCP_BYTES && this.payloadBytes > 0 && ETHERNET_BYTES + packetBytes <= lenBytes;
  }
}
