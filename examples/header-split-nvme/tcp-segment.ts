const ETHERNET_BYTES = 14;
const ETHERTYPE_IPV4 = 0x0800;
const PROTOCOL_TCP = 6;
const FLAG_SYN = 2;

/** One direction of a TCP connection over IPv4. */
export interface TcpFlow {
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
  readonly srcPort: number;
  readonly dstPort: number;
}

/** What the headers of a frame say. */
export interface TcpSegment {
  readonly flow: TcpFlow;
  /** Of the first payload byte, modulo 2^32. */
  readonly seq: number;
  readonly headerBytes: number;
  readonly payloadBytes: number;
}

export function formatFlow({ src, srcPort, dst, dstPort }: TcpFlow): string {
  return `${src.join(".")}:${srcPort} -> ${dst.join(".")}:${dstPort}`;
}

/** Reads the headers at `frame[0]`; null for anything but TCP over IPv4. The payload need not be there. */
export function parseTcp(frame: Uint8Array): TcpSegment | null {
  const words = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 54 || words.getUint16(12) !== ETHERTYPE_IPV4 || frame[23] !== PROTOCOL_TCP) return null;
  const isFragment = (words.getUint16(20) & 0x3fff) !== 0;
  const tcpAt = ETHERNET_BYTES + (frame[14]! & 15) * 4;
  if (isFragment || tcpAt + 20 > frame.length) return null;
  const headerBytes = tcpAt + (frame[tcpAt + 12]! >> 4) * 4;
  const isSyn = (frame[tcpAt + 13]! & FLAG_SYN) !== 0;
  return {
    flow: {
      src: frame.slice(26, 30),
      dst: frame.slice(30, 34),
      srcPort: words.getUint16(tcpAt),
      dstPort: words.getUint16(tcpAt + 2),
    },
    seq: (words.getUint32(tcpAt + 4) + (isSyn ? 1 : 0)) >>> 0,
    headerBytes,
    payloadBytes: ETHERNET_BYTES + words.getUint16(16) - headerBytes,
  };
}
