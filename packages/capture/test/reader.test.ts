import { describe, expect, test } from "vitest";
import { CaptureReader, isRawIp, LinkType, PacketInfo, ReadStatus } from "../src/index.ts";
import { BlockBytes, concat, pcapBytes, readStreamed } from "./capture-bytes.ts";
import { readWholeFile } from "./whole-file-reader.ts";

const data = (length: number): Uint8Array => Uint8Array.from({ length }, (_, idx) => idx + 1);
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("pcapng blocks", () => {
  test("reads enhanced, simple and obsolete packet blocks, in both byte orders", () => {
    for (const little of [true, false]) {
      const file = new BlockBytes(little).section().iface(LinkType.ethernet, 0).iface(LinkType.raw, 0);
      file.packet(1, 0, 1_500_000, 5, 9, data(5)).simple(6, data(6));
      file.packet(file.halves(1, 77), 0, 2_000_001, 3, 3, data(3), 2);
      const { packets } = readStreamed(file.bytes, [7]);
      expect(packets).toEqual(readWholeFile(file.bytes));
      expect(packets.map(({ data, linkType, timeNs }) => [data.length, linkType, timeNs])).toEqual([
        [5, 101, 1_500_000_000n],
        [6, 1, null],
        [3, 101, 2_000_001_000n],
      ]);
    }
  });

  test("cuts simple packets at the snap length of interface 0", () => {
    const file = new BlockBytes().section().iface(1, 4).iface(1, 0).simple(6, data(4));
    const { packets, reader } = readStreamed(file.bytes);
    expect(packets[0]).toMatchObject({ data: [1, 2, 3, 4], originalLenBytes: 6 });
    expect(reader.snappedCount).toBe(1);
  });

  test("skips blocks and options it does not know, and the options of packets", () => {
    const file = new BlockBytes().section();
    const options = concat([file.option(3, utf8("a description")), file.option(2, utf8("if0")), file.words(0)]);
    file.block(0x0bad, data(1000)).iface(1, 0, options).block(5, data(8)).block(0x80000001, new Uint8Array(0));
    file.packet(0, 0, 0, 3, 3, concat([data(3), Uint8Array.of(0), file.option(2, data(4)), file.words(0)]));
    const { packets, reader } = readStreamed(file.bytes, [3, 500]);
    expect(packets.map(({ data }) => data)).toEqual([[1, 2, 3]]);
    expect(reader.interfaces[0]?.name).toBe("if0");
    expect(reader.skippedBlockCount).toBe(3);
  });

  test("skips blocks without a body, also where they cross chunks", () => {
    const file = new BlockBytes().section().iface(1, 0).block(99, data(0)).block(98, data(0));
    file.packet(0, 0, 0, 1, 1, data(1));
    for (let chunkBytes = 1; chunkBytes <= 13; chunkBytes++) {
      expect(readStreamed(file.bytes, [chunkBytes]).packets).toEqual(readWholeFile(file.bytes));
    }
  });

  test("a simple packet does not keep the time of the packet before", () => {
    const file = new BlockBytes().section().iface(1, 0).packet(0, 5, 5, 1, 1, data(1)).simple(1, data(1));
    const reader = new CaptureReader();
    const info = new PacketInfo();
    reader.push(file.bytes);
    for (let nth = 0; nth < 2; nth++) reader.nextInto(new Uint8Array(4), 0, 4, info);
    expect(info).toMatchObject({ hasTimestamp: false, tsSec: 0, tsNs: 0 });
  });

  test("reads no options behind their end", () => {
    const file = new BlockBytes().section();
    file.iface(1, 0, concat([file.words(0), file.option(2, utf8("not a name")), file.words(0xffff0002)]));
    expect(readStreamed(file.bytes).reader.interfaces[0]?.name).toBe("");
  });

  test("starts each section anew: its byte order, its interfaces", () => {
    const first = new BlockBytes(true).section().iface(1, 0).iface(228, 0).packet(1, 0, 1, 1, 1, data(1));
    const second = new BlockBytes(false).section().iface(229, 0).packet(0, 0, 2, 2, 2, data(2));
    const file = concat([first.bytes, second.bytes]);
    const reader = new CaptureReader();
    const info = new PacketInfo();
    const memory = new Uint8Array(10);
    reader.push(file);
    reader.nextInto(memory, 0, 10, info);
    expect([info.sectionIdx, info.interfaceIdx, info.linkType]).toEqual([0, 1, 228]);
    reader.nextInto(memory, 0, 10, info);
    expect([info.sectionIdx, info.interfaceIdx, info.linkType]).toEqual([1, 0, 229]);
    expect(reader.interfaces.length).toBe(1);
    expect(readStreamed(file, [1]).packets).toEqual(readWholeFile(file));
  });

  test("converts every timestamp resolution and offset exactly", () => {
    const cases: [resolution: number, high: number, low: number][] = [
      [0, 0, 1_700_000_000],
      [6, 0x60000, 0xffffffff],
      [9, 0x17979cfe, 0x362a0001],
      [9, 0x7fffffff, 0xffffffff],
      [12, 0xffffffff, 0xffffffff],
      [19, 0xffffffff, 0xffffffff],
      [127, 0xffffffff, 0xffffffff],
      [0x80, 0, 5],
      [0x80 + 10, 0, 1025],
      [0x80 + 32, 7, 0x80000001],
      [0xff, 0xffffffff, 0xffffffff],
    ];
    for (const [resolution, high, low] of cases) {
      for (const offset of [0, 3600, -5]) {
        const file = new BlockBytes().section();
        const offsetBytes = new Uint8Array(8);
        new DataView(offsetBytes.buffer).setBigInt64(0, BigInt(offset), true);
        const options = concat([file.option(9, Uint8Array.of(resolution)), file.option(14, offsetBytes)]);
        file.iface(1, 0, options).packet(0, high, low, 0, 0, new Uint8Array(0));
        expect(readStreamed(file.bytes).packets).toEqual(readWholeFile(file.bytes));
      }
    }
  });

  test("decodes interface names, malformed ones too", () => {
    const names = [
      utf8("veth0"),
      utf8("größe ✓ 😀"),
      Uint8Array.of(0x61, 0xff, 0x62),
      Uint8Array.of(0xc3),
      Uint8Array.of(0xc3, 0x28),
      data(0),
    ];
    for (const name of names) {
      const file = new BlockBytes().section();
      file.iface(1, 0, file.option(2, name));
      expect(readStreamed(file.bytes).reader.interfaces[0]?.name).toBe(new TextDecoder().decode(name));
    }
  });
});

describe("CaptureReader", () => {
  test("reads pcap in all four magics and fractions of a second and more", () => {
    const words = (little: boolean, ...values: number[]): Uint8Array => new BlockBytes(little).words(...values);
    for (const little of [true, false]) {
      for (const [magic, unitNs] of [
        [0xa1b2c3d4, 1000n],
        [0xa1b23c4d, 1n],
      ] as const) {
        const record = concat([words(little, 10, 4_000_000_000, 2, 2), data(2)]);
        const { packets, reader } = readStreamed(pcapBytes([record, record], little, magic), [5]);
        expect(packets.map(({ timeNs }) => timeNs)).toEqual(Array(2).fill(10_000_000_000n + 4_000_000_000n * unitNs));
        expect(packets.map(({ fileOffsetBytes }) => fileOffsetBytes)).toEqual([24, 42]);
        expect(reader.interfaces[0]?.tsResolution).toBe(unitNs === 1n ? 9 : 6);
      }
    }
  });

  test("cuts a packet that does not fit, flags and counts it", () => {
    const file = new BlockBytes()
      .section()
      .iface(1, 0)
      .packet(0, 0, 0, 40, 50, data(40))
      .packet(0, 0, 0, 10, 10, data(10));
    const { packets, reader } = readStreamed(file.bytes, [9], { maxBytes: 16 });
    expect(packets.map((packet) => packet.data.length)).toEqual([16, 10]);
    expect([reader.truncatedCount, reader.snappedCount, reader.packetCount]).toEqual([1, 1, 2]);
    const nothing = readStreamed(file.bytes, [9], { maxBytes: 0 });
    expect(nothing.reader.truncatedCount).toBe(2);
    const info = new PacketInfo();
    const reader2 = new CaptureReader();
    reader2.push(file.bytes);
    reader2.nextInto(new Uint8Array(16), 0, 16, info);
    expect(info).toMatchObject({ capturedLenBytes: 40, originalLenBytes: 50, storedLenBytes: 16 });
    expect([info.isTruncated, info.isSnapped]).toEqual([true, true]);
  });

  test("reports an unknown link type by its number", () => {
    const file = new BlockBytes().section().iface(12_345, 0).packet(0, 0, 0, 1, 1, data(1));
    expect(readStreamed(file.bytes).packets[0]?.linkType).toBe(12_345);
    expect([1, 12, 14, 101, 228, 229, 113].map(isRawIp)).toEqual([false, true, true, true, true, true, false]);
  });

  test("a file with a header and no packets is no error", () => {
    expect(readStreamed(pcapBytes([])).packets).toEqual([]);
    expect(readStreamed(new BlockBytes().section().bytes).packets).toEqual([]);
  });

  test("waits for more without end, finishes once, reads chunks over shared memory", () => {
    const file = pcapBytes([concat([new BlockBytes().words(1, 2, 3, 3), data(3)])]);
    const shared = new Uint8Array(new SharedArrayBuffer(file.length));
    shared.set(file);
    const reader = new CaptureReader();
    const info = new PacketInfo();
    const memory = new Uint8Array(8);
    expect(reader.nextInto(memory, 0, 8, info)).toBe(ReadStatus.needMore);
    reader.push(new Uint8Array(0));
    expect(reader.nextInto(memory, 0, 8, info)).toBe(ReadStatus.needMore);
    reader.push(shared);
    expect(reader.nextInto(memory, 2, 6, info)).toBe(ReadStatus.packet);
    expect([...memory]).toEqual([0, 0, 1, 2, 3, 0, 0, 0]);
    expect(reader.nextInto(memory, 0, 8, info)).toBe(ReadStatus.needMore);
    reader.finish();
    reader.finish();
    expect(reader.nextInto(memory, 0, 8, info)).toBe(ReadStatus.end);
    expect(reader.nextInto(memory, 0, 8, info)).toBe(ReadStatus.end);
  });
});
