import { buildPacket, fragmentPacket, ipv4Address, ipv6Address, macAddress, type PacketSpec } from "@netmem/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FlowKey, FlowKind, Rss, Toeplitz } from "../src/index.ts";

const link = { srcMac: macAddress("02:00:00:00:00:01"), dstMac: macAddress("02:00:00:00:00:02") };
const v4: PacketSpec["network"] = { kind: "ipv4", src: ipv4Address("10.0.0.1"), dst: ipv4Address("10.0.0.2") };
const v6: PacketSpec["network"] = { kind: "ipv6", src: ipv6Address("fd00::1"), dst: ipv6Address("fd00::2") };
const tcp: PacketSpec["transport"] = { kind: "tcp", srcPort: 1111, dstPort: 80 };
const udp: PacketSpec["transport"] = { kind: "udp", srcPort: 2222, dstPort: 53 };

function build(spec: PacketSpec): Uint8Array {
  const bytes = new Uint8Array(4096);
  return bytes.slice(0, buildPacket(bytes, 0, spec));
}

function insert(frame: Uint8Array, at: number, bytes: number[]): Uint8Array {
  return Uint8Array.of(...frame.subarray(0, at), ...bytes, ...frame.subarray(at));
}

function kindOf(frame: Uint8Array): number {
  return new FlowKey().parse(frame, 0, frame.length);
}

describe("FlowKey", () => {
  test("TCP and UDP over IPv4 and IPv6, tagged or not: addresses and ports", () => {
    const key = new FlowKey();
    const tag = [0x81, 0, 0, 5];
    for (const [network, transport, kind, addrAt, portsAt] of [
      [v4, tcp, FlowKind.Ipv4Ports, 26, 34],
      [v4, udp, FlowKind.Ipv4Ports, 26, 34],
      [v6, tcp, FlowKind.Ipv6Ports, 22, 54],
      [v6, udp, FlowKind.Ipv6Ports, 22, 54],
    ] as const) {
      const frame = build({ ethernet: link, network, transport });
      expect([key.parse(frame, 0, frame.length), key.addrAt, key.portsAt]).toEqual([kind, addrAt, portsAt]);
      const tagged = insert(frame, 12, tag);
      expect([key.parse(tagged, 0, tagged.length), key.addrAt]).toEqual([kind, addrAt + 4]);
      const twice = insert(tagged, 12, [0x88, 0xa8, 0, 7]);
      expect([key.parse(twice, 0, twice.length), key.portsAt]).toEqual([kind, portsAt + 8]);
      expect(kindOf(insert(twice, 12, tag))).toBe(FlowKind.None);
    }
  });

  test("IPv4 options and IPv6 extension headers are skipped", () => {
    const key = new FlowKey();
    const options = insert(build({ ethernet: link, network: v4, transport: tcp }), 34, [1, 1, 1, 1]).with(14, 0x46);
    expect([key.parse(options, 0, options.length), key.portsAt]).toEqual([FlowKind.Ipv4Ports, 38]);
    for (const ext of [0, 43, 60]) {
      const frame = build({ ethernet: link, network: v6, transport: udp });
      const extended = insert(frame, 54, [17, 1, ...Array.from({ length: 14 }, () => 0)]).with(20, ext);
      expect([key.parse(extended, 0, extended.length), key.portsAt]).toEqual([FlowKind.Ipv6Ports, 70]);
    }
  });

  test("fragments and other protocols: addresses only", () => {
    for (const [network, pair] of [
      [v4, FlowKind.Ipv4],
      [v6, FlowKind.Ipv6],
    ] as const) {
      const whole = build({ ethernet: link, network, transport: udp, payloadBytes: 3000 });
      const fragments = fragmentPacket(whole, 1400, 1);
      expect(fragments.length).toBe(3);
      expect(fragments.map(kindOf)).toEqual([pair, pair, pair]);
      const icmp = build({ ethernet: link, network, transport: { kind: "raw", protocol: 99 } });
      expect(kindOf(icmp)).toBe(pair);
    }
    // Don't fragment is no fragment.
    const frame = build({ ethernet: link, network: v4, transport: tcp });
    expect(kindOf(frame.with(20, 0x40))).toBe(FlowKind.Ipv4Ports);
  });

  test("not IP, or too short for it: none", () => {
    const [ip, mac] = [ipv4Address("10.0.0.1"), link.srcMac];
    const arpRequest = {
      kind: "arp",
      operation: 1,
      senderMac: mac,
      senderIp: ip,
      targetMac: mac,
      targetIp: ip,
    } as const;
    const arp = build({ ethernet: link, network: arpRequest });
    expect(kindOf(arp)).toBe(FlowKind.None);
    const frame = build({ ethernet: link, network: v4, transport: tcp });
    expect([13, 14, 33].map((len) => kindOf(frame.slice(0, len)))).toEqual([0, 0, 0]);
    expect([34, 37, 38].map((len) => kindOf(frame.slice(0, len)))).toEqual([1, 1, 2]);
    expect([kindOf(frame.with(14, 0x44)), kindOf(frame.with(14, 0x65))]).toEqual([0, 0]);
  });

  test("random bytes never lead outside the frame", () => {
    const key = new FlowKey();
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 120 }),
        fc.constantFrom([0x08, 0x00], [0x86, 0xdd], [0x81, 0x00]),
        fc.constantFrom(0x45, 0x4f, 0x60),
        (bytes, [high = 0, low = 0], first) => {
          if (bytes.length > 14) bytes.set([high, low, first], 12);
          const kind = key.parse(bytes, 0, bytes.length);
          if (kind === 0) return;
          const addrBytes = kind <= 2 ? 8 : 32;
          expect(key.addrAt + addrBytes).toBeLessThanOrEqual(bytes.length);
          if (kind === 2 || kind === 4) expect(key.portsAt + 4).toBeLessThanOrEqual(bytes.length);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("Rss", () => {
  const frame = build({ ethernet: link, network: v4, transport: tcp });

  test("the low seven bits of the hash choose; a table of one's own is followed", () => {
    const rss = new Rss(3);
    const queue = rss.chooseQueue(frame, 0, frame.length);
    expect(queue).toBe((rss.lastHash & 127) % 3);
    const table = Array.from({ length: 128 }, () => 0).with(rss.lastHash & 127, 2);
    rss.setTable(table);
    expect(rss.chooseQueue(frame, 0, frame.length)).toBe(2);
    const other = build({ ethernet: link, network: v4, transport: udp });
    expect(rss.chooseQueue(other, 0, other.length)).toBe(0);
  });

  test("frames without a flow go where hash 0 leads", () => {
    const rss = new Rss(4);
    rss.setTable(Array.from({ length: 128 }, () => 3));
    rss.chooseQueue(frame, 0, frame.length);
    expect(rss.lastHash).not.toBe(0);
    expect([rss.chooseQueue(frame, 0, 20), rss.lastHash]).toEqual([3, 0]);
  });

  test("hashes what the parser found, whatever the frame: fragments by addresses only", () => {
    const rss = new Rss(1);
    const toeplitz = new Toeplitz();
    const key = new FlowKey();
    const frames = [tcp, udp].flatMap((transport) => [
      build({ ethernet: link, network: v4, transport }),
      build({ ethernet: { ...link, vlanId: 9 }, network: v4, transport }),
      build({ ethernet: link, network: v6, transport }),
    ]);
    const whole = build({ ethernet: link, network: v4, transport: udp, payloadBytes: 3000 });
    frames.push(...fragmentPacket(whole, 1400, 1));
    for (const frame of frames) {
      // Each byte that says what the frame is, in turn.
      for (const at of [-1, 12, 13, 14, 20, 21, 23]) {
        const changed = at < 0 ? frame : frame.with(at, (frame[at] ?? 0) ^ 1);
        const kind = key.parse(changed, 0, changed.length);
        const addresses =
          kind === FlowKind.None ? new Uint8Array(0) : changed.slice(key.addrAt, key.addrAt + (kind > 2 ? 32 : 8));
        const ports = kind === 2 || kind === 4 ? changed.slice(key.portsAt, key.portsAt + 4) : new Uint8Array(0);
        const input = Uint8Array.of(...addresses, ...ports);
        rss.chooseQueue(changed, 0, changed.length);
        expect(rss.lastHash).toBe(toeplitz.hash(input, 0, input.length));
      }
    }
  });

  test("checks its table", () => {
    const rss = new Rss(2);
    expect(() => rss.setTable([0])).toThrow("table.length");
    expect(() => rss.setTable(Array.from({ length: 128 }, () => 2))).toThrow("table[0]");
  });
});
