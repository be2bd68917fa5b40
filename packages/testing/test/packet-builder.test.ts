import { describe, expect, test } from "vitest";
import {
  buildPacket,
  findPatternMismatch,
  fragmentPacket,
  ipv4Address,
  ipv6Address,
  macAddress,
  TcpFlag,
  type Ipv4Params,
  type Ipv6Params,
  type PacketSpec,
  type TransportParams,
} from "../src/index.ts";

const ethernet = { srcMac: macAddress("02:00:00:00:00:01"), dstMac: macAddress("02:00:00:00:00:02") };
const ipv4: Ipv4Params = { kind: "ipv4", src: ipv4Address("10.0.0.1"), dst: ipv4Address("10.0.0.2"), id: 7 };
const ipv6: Ipv6Params = { kind: "ipv6", src: ipv6Address("fd00::1"), dst: ipv6Address("fd00::2"), flowLabel: 0xabcde };
const transports: TransportParams[] = [
  { kind: "tcp", srcPort: 40000, dstPort: 443, seq: -5, flags: TcpFlag.ack | TcpFlag.psh },
  { kind: "tcp", srcPort: 1, dstPort: 2, options: Uint8Array.of(2, 4, 5, 0xb4, 1) },
  { kind: "udp", srcPort: 5353, dstPort: 53 },
  { kind: "icmp", type: 8, rest: 0x00010002 },
];

/** One's complement sum, written apart from the builder's: 0xffff where a checksum is right. */
function onesSum(bytes: number[]): number {
  let sum = 0n;
  for (const [idx, byte] of bytes.entries()) sum += BigInt(byte) << (idx % 2 === 0 ? 8n : 0n);
  return Number(((sum - 1n) % 0xffffn) + 1n);
}

function build(spec: PacketSpec): Uint8Array {
  const memory = new Uint8Array(20_000).fill(0xee);
  const frameBytes = buildPacket(memory, 100, spec);
  expect(memory.subarray(0, 100).every((byte) => byte === 0xee)).toBe(true);
  expect(memory.subarray(100 + frameBytes).every((byte) => byte === 0xee)).toBe(true);
  return memory.slice(100, 100 + frameBytes);
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function expectRightChecksums(ip: Uint8Array, protocol: number): void {
  const firstByte = view(ip).getUint8(0);
  const isIpv6 = firstByte >>> 4 === 6;
  const headerBytes = isIpv6 ? 40 : (firstByte & 15) * 4;
  const totalBytes = isIpv6 ? 40 + view(ip).getUint16(4) : view(ip).getUint16(2);
  if (!isIpv6) expect(onesSum([...ip.subarray(0, headerBytes)])).toBe(0xffff);
  const segment = [...ip.subarray(headerBytes, totalBytes)];
  const addresses = isIpv6 ? ip.subarray(8, 40) : ip.subarray(12, 20);
  const pseudo = [...addresses, segment.length >> 8, segment.length & 255, 0, protocol];
  expect(onesSum(protocol === 1 ? segment : [...pseudo, ...segment])).toBe(0xffff);
}

describe("buildPacket", () => {
  for (const transport of transports) {
    for (const network of [ipv4, ipv6]) {
      test(`${transport.kind} over ${network.kind}: sizes, types and checksums are right at every size`, () => {
        const protocol = { tcp: 6, udp: 17, icmp: network.kind === "ipv6" ? 58 : 1, raw: 0 }[transport.kind];
        for (const frameBytes of [98, 99, 150, 1514, 9014]) {
          const frame = build({ ethernet, network, transport, frameBytes, patternSeed: frameBytes });
          expect(frame.length).toBe(frameBytes);
          expect(view(frame).getUint16(12)).toBe(network.kind === "ipv6" ? 0x86dd : 0x0800);
          expectRightChecksums(frame.subarray(14), protocol);
        }
      });
    }
  }

  test("fills the payload with the pattern of its seed, or with given bytes, and pads to the frame size", () => {
    const transport: TransportParams = { kind: "udp", srcPort: 1, dstPort: 2 };
    const patterned = build({ ethernet, network: ipv4, transport, frameBytes: 500, patternSeed: 9 });
    expect(findPatternMismatch(patterned, 42, 458, 9)).toBe(-1);
    patterned.set([view(patterned).getUint8(300) ^ 1], 300);
    expect(findPatternMismatch(patterned, 42, 458, 9)).toBe(258);
    const given = build({ ethernet, network: ipv4, transport, payload: Uint8Array.of(1, 2, 3) });
    expect(given.length).toBe(60);
    expect(view(given).getUint16(16)).toBe(31);
    expect([...given.subarray(42, 48)]).toEqual([1, 2, 3, 0, 0, 0]);
    expect(build({ ethernet, network: ipv4, transport, payloadBytes: 100 }).length).toBe(142);
    expect(build({ network: ipv4, transport, payloadBytes: 0 }).length).toBe(28);
  });

  test("a UDP checksum that comes out as zero is sent as 0xffff", () => {
    const transport: TransportParams = { kind: "udp", srcPort: 1, dstPort: 2 };
    const zero = build({ network: ipv4, transport, payload: Uint8Array.of(0, 0) });
    const payload = zero.slice(26, 28);
    const same = build({ network: ipv4, transport, payload });
    expect(view(same).getUint16(26)).toBe(0xffff);
    expectRightChecksums(same, 17);
  });

  test("writes an 802.1Q tag, IPv4 options and flags, IPv6 fragment headers", () => {
    const transport: TransportParams = { kind: "raw", protocol: 17 };
    const tagged = build({ ethernet: { ...ethernet, vlanId: 100, vlanPriority: 5 }, network: ipv4, transport });
    expect(view(tagged).getUint32(12)).toBe(0x8100a064);
    expect(view(tagged).getUint16(16)).toBe(0x0800);
    const options = build({ network: { ...ipv4, options: Uint8Array.of(1, 1, 1, 1, 0) }, transport, payloadBytes: 8 });
    expect(options[0]).toBe(0x47);
    expect(onesSum([...options.subarray(0, 28)])).toBe(0xffff);
    const cut = build({ network: { ...ipv4, moreFragments: true, fragmentOffsetBytes: 1480 }, transport });
    expect(view(cut).getUint16(6)).toBe(0x2000 | 185);
    const fragment = { id: 0xdeadbeef, offsetBytes: 1448, more: true };
    const cut6 = build({ network: { ...ipv6, fragment }, transport, payloadBytes: 16 });
    expect([cut6[6], view(cut6).getUint16(4), cut6[40]]).toEqual([44, 24, 17]);
    expect([view(cut6).getUint16(42), view(cut6).getUint32(44)]).toEqual([1449, 0xdeadbeef]);
  });

  test("builds ARP, padded to the smallest frame", () => {
    const arp = build({
      ethernet,
      network: {
        kind: "arp",
        operation: 1,
        senderMac: ethernet.srcMac,
        senderIp: ipv4.src,
        targetMac: new Uint8Array(6),
        targetIp: ipv4.dst,
      },
    });
    expect(arp.length).toBe(60);
    expect(Buffer.from(arp.slice(12, 42)).toString("hex")).toBe(
      "080600010800060400010200000000010a0000010000000000000a000002",
    );
  });

  test("refuses what cannot be built", () => {
    const transport: TransportParams = { kind: "udp", srcPort: 1, dstPort: 2 };
    const small = new Uint8Array(50);
    expect(() => buildPacket(small, 0, { ethernet, network: ipv4, transport })).toThrow("does not fit");
    expect(() => buildPacket(small, -1, { network: ipv4, transport, payloadBytes: 0 })).toThrow(RangeError);
    expect(() => build({ ethernet, network: ipv4, transport, frameBytes: 41 })).toThrow("too small");
    expect(() => build({ ethernet, network: ipv4 })).toThrow("transport");
    expect(() => build({ network: { ...ipv4, moreFragments: true }, transport })).toThrow("fragmentPacket");
    const raw: TransportParams = { kind: "raw", protocol: 17 };
    expect(() => build({ network: { ...ipv4, fragmentOffsetBytes: 12 }, transport: raw })).toThrow("multiple of 8");
    expect(() => build({ network: { ...ipv4, options: new Uint8Array(41) }, transport })).toThrow("40 bytes");
    const memory = new Uint8Array(70_000);
    expect(() => buildPacket(memory, 0, { network: ipv4, transport, payloadBytes: 65_508 })).toThrow("65535");
    expect(buildPacket(memory, 0, { network: ipv4, transport, payloadBytes: 65_507 })).toBe(65_535);
  });
});

describe("fragmentPacket", () => {
  const transport: TransportParams = { kind: "udp", srcPort: 1, dstPort: 2 };

  function fragmentAt(fragments: Uint8Array[], idx: number): Uint8Array {
    const fragment = fragments.at(idx);
    if (fragment === undefined) throw new Error(`no fragment ${idx}`);
    return fragment;
  }

  function reassemble(fragments: Uint8Array[], ipOff: number, isIpv6: boolean): number[] {
    const headerBytes = ipOff + (isIpv6 ? 48 : 20);
    const data: number[] = [];
    for (const [idx, fragment] of fragments.entries()) {
      const word = view(fragment).getUint16(isIpv6 ? ipOff + 42 : ipOff + 6);
      expect(isIpv6 ? word & 0xfff8 : (word & 0x1fff) * 8).toBe(data.length);
      expect((word & (isIpv6 ? 1 : 0x2000)) !== 0).toBe(idx < fragments.length - 1);
      data.push(...fragment.subarray(headerBytes));
    }
    return data;
  }

  test("cuts IPv4 and IPv6 datagrams so that their parts give the whole again", () => {
    for (const network of [ipv4, ipv6]) {
      for (const link of [ethernet, { ...ethernet, vlanId: 5 }]) {
        const isIpv6 = network.kind === "ipv6";
        const ipOff = link === ethernet ? 14 : 18;
        const whole = build({ ethernet: link, network, transport, frameBytes: 8000 });
        const fragments = fragmentPacket(whole, 1500, 0x1234);
        expect(fragments.length).toBe(6);
        for (const fragment of fragments) expect(fragment.length).toBeLessThanOrEqual(ipOff + 1500);
        expect(reassemble(fragments, ipOff, isIpv6)).toEqual([...whole.subarray(ipOff + (isIpv6 ? 40 : 20))]);
        if (!isIpv6) expect(onesSum([...fragmentAt(fragments, 3).subarray(ipOff, ipOff + 20)])).toBe(0xffff);
      }
    }
  });

  test("the last fragment is the last one also where the data divides evenly", () => {
    const whole = build({ ethernet, network: ipv4, transport, frameBytes: 14 + 20 + 2 * 1480 });
    const fragments = fragmentPacket(whole, 1500, 1);
    expect(fragments.map(({ length }) => length)).toEqual([1514, 1514]);
    expect(reassemble(fragments, 14, false).length).toBe(2960);
  });

  test("leaves what fits as it is, without the padding", () => {
    const small = build({ ethernet, network: ipv4, transport, payloadBytes: 4 });
    expect(fragmentPacket(small, 1500, 1)).toEqual([small.slice(0, 46)]);
  });

  test("refuses fragments, options, other protocols and an MTU without room", () => {
    const whole = build({ ethernet, network: ipv4, transport, frameBytes: 3000 });
    expect(() => fragmentPacket(fragmentAt(fragmentPacket(whole, 1500, 1), 0), 576, 1)).toThrow("already");
    const whole6 = build({ ethernet, network: ipv6, transport, frameBytes: 3000 });
    expect(() => fragmentPacket(fragmentAt(fragmentPacket(whole6, 1500, 1), 0), 576, 1)).toThrow("already");
    expect(() => fragmentPacket(whole, 24, 1)).toThrow("no room");
    const options = { ...ipv4, options: Uint8Array.of(1) };
    expect(() => fragmentPacket(build({ ethernet, network: options, transport, frameBytes: 900 }), 576, 1)).toThrow(
      "options",
    );
    expect(() => fragmentPacket(new Uint8Array(60), 1500, 1)).toThrow("no IP");
  });
});
