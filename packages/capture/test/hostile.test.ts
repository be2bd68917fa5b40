import { describe, expect, test } from "vitest";
import { CaptureError, CaptureErrorCode, CaptureReader, PacketInfo } from "../src/index.ts";
import { BlockBytes, concat, pcapBytes, readStreamed } from "./capture-bytes.ts";

const none = new Uint8Array(0);
const data = (length: number): Uint8Array => new Uint8Array(length).fill(7);
const start = (): BlockBytes => new BlockBytes().section().iface(1, 0);
/** A good packet, so that "packets before" is 1. */
const good = (): BlockBytes => start().packet(0, 0, 0, 4, 4, data(4));
const record = (captured: number, original: number, stored = captured): Uint8Array =>
  concat([new BlockBytes().words(1, 1, captured, original), data(stored)]);

function failureOf(file: Uint8Array, chunkSizes: number[], maxBlockBytes?: number): CaptureError {
  try {
    readStreamed(file, chunkSizes, maxBlockBytes === undefined ? {} : { maxBlockBytes });
  } catch (error) {
    if (error instanceof CaptureError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

interface Hostile {
  name: string;
  file: Uint8Array;
  code: keyof typeof CaptureErrorCode;
  offset: number;
  before?: number;
  reason: RegExp;
}

const goodBytes = good().bytes.length;
const cases: Hostile[] = [
  { name: "no bytes", file: none, code: "empty", offset: 0, reason: /empty/ },
  { name: "text", file: new TextEncoder().encode("hello, world"), code: "notACapture", offset: 0, reason: /68656c6c/ },
  { name: "gzip", file: Uint8Array.of(0x1f, 0x8b, 8, 0, 0), code: "notACapture", offset: 0, reason: /decompress/ },
  { name: "zstd", file: Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd), code: "notACapture", offset: 0, reason: /decompress/ },
  { name: "three bytes", file: Uint8Array.of(0xd4, 0xc3, 0xb2), code: "truncated", offset: 3, reason: /byte 0/ },
  { name: "modified pcap", file: pcapBytes([], true, 0xa1b2cd34), code: "unsupported", offset: 0, reason: /modified/ },
  { name: "pcap 3.4", file: pcapBytes([], true, 0xa1b2c3d4, 3), code: "unsupported", offset: 4, reason: /version 3/ },
  { name: "pcap header cut", file: pcapBytes([]).slice(0, 23), code: "truncated", offset: 23, reason: /ends/ },
  {
    name: "pcap record header cut",
    file: pcapBytes([record(4, 4).slice(0, 15)]),
    code: "truncated",
    offset: 39,
    reason: /byte 24/,
  },
  {
    name: "pcap data cut",
    file: pcapBytes([record(4, 4), record(9, 9, 8)]),
    code: "truncated",
    offset: 68,
    before: 1,
    reason: /byte 44/,
  },
  {
    name: "pcap record of 4 GiB",
    file: pcapBytes([record(0xffffffff, 0xffffffff, 4)]),
    code: "corrupt",
    offset: 24,
    reason: /4294967311 .*maxBlockBytes/,
  },
  {
    name: "pcap captured > original",
    file: pcapBytes([record(4, 4), record(4, 3)]),
    code: "corrupt",
    offset: 44,
    before: 1,
    reason: /cannot have 4/,
  },
  {
    name: "section without byte order",
    file: new BlockBytes().block(0x0a0d0d0a, data(16)).bytes,
    code: "corrupt",
    offset: 0,
    reason: /byte order/,
  },
  {
    name: "section too short",
    file: new BlockBytes().block(0x0a0d0d0a, new BlockBytes().words(0x1a2b3c4d)).bytes,
    code: "corrupt",
    offset: 0,
    reason: /section header/,
  },
  { name: "pcapng 2.0", file: new BlockBytes().section(2).bytes, code: "unsupported", offset: 0, reason: /version 2/ },
  {
    name: "block of zero bytes",
    file: good().block(5, data(4), { first: 0 }).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /cannot have 0 bytes/,
  },
  {
    name: "block of 8 bytes",
    file: good().block(5, data(4), { first: 8 }).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /cannot have 8 bytes/,
  },
  {
    name: "block length no multiple of 4",
    file: good().block(5, data(4), { first: 15 }).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /cannot have 15 bytes/,
  },
  {
    name: "block of 4 GiB",
    file: good().block(5, data(4), { first: 0xfffffffc }).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /maxBlockBytes/,
  },
  {
    name: "packet block of 4 GiB",
    file: good().block(6, data(40), { first: 0xfffffffc }).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /maxBlockBytes/,
  },
  {
    name: "block cut",
    file: good().block(6, data(40)).bytes.slice(0, -1),
    code: "truncated",
    offset: goodBytes + 51,
    before: 1,
    reason: /ends inside/,
  },
  {
    name: "unknown block cut",
    file: good().block(99, data(40)).bytes.slice(0, -1),
    code: "truncated",
    offset: goodBytes + 51,
    before: 1,
    reason: /ends inside/,
  },
  {
    name: "other length at the end of a packet",
    file: good().block(6, data(40), { last: 48 }).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /ends with the length 48/,
  },
  {
    name: "other length at the end of an unknown block",
    file: good().block(99, data(40), { last: 48 }).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /ends with the length 48/,
  },
  {
    name: "interface out of range",
    file: good().packet(1, 0, 0, 4, 4, data(4)).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /interface 1 is none of the section's 1/,
  },
  {
    name: "interface 4294967295",
    file: good().packet(0xffffffff, 0, 0, 4, 4, data(4)).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /interface 4294967295/,
  },
  {
    name: "simple packet without interface",
    file: new BlockBytes().section().simple(4, data(4)).bytes,
    code: "corrupt",
    offset: 28,
    reason: /interface 0/,
  },
  {
    name: "packet block too short",
    file: good().block(6, data(16)).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /packet block/,
  },
  {
    name: "simple packet too short",
    file: good().block(3, none).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /simple packet/,
  },
  {
    name: "captured > block",
    file: good().packet(0, 0, 0, 9, 9, data(8)).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /9 captured bytes do not fit/,
  },
  {
    name: "captured 4 GiB",
    file: good().packet(0, 0, 0, 0xffffffff, 0xffffffff, data(8)).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /do not fit/,
  },
  {
    name: "captured > original",
    file: good().packet(0, 0, 0, 8, 7, data(8)).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /cannot have 8/,
  },
  {
    name: "simple original > block",
    file: good().simple(9, data(8)).bytes,
    code: "corrupt",
    offset: goodBytes,
    before: 1,
    reason: /do not fit/,
  },
  {
    name: "interface block too short",
    file: new BlockBytes().section().block(1, data(4)).bytes,
    code: "corrupt",
    offset: 28,
    reason: /interface block/,
  },
  {
    name: "option longer than its block",
    file: new BlockBytes().section().iface(1, 0, new BlockBytes().words(0xffff0002)).bytes,
    code: "corrupt",
    offset: 44,
    reason: /option 2/,
  },
  {
    name: "if_tsresol of 2 bytes",
    file: new BlockBytes().section().iface(1, 0, new BlockBytes().option(9, data(2))).bytes,
    code: "corrupt",
    offset: 44,
    reason: /if_tsresol/,
  },
  {
    name: "if_tsoffset of 4 bytes",
    file: new BlockBytes().section().iface(1, 0, new BlockBytes().option(14, data(4))).bytes,
    code: "corrupt",
    offset: 44,
    reason: /if_tsoffset/,
  },
  {
    name: "if_tsoffset of centuries",
    file: new BlockBytes().section().iface(1, 0, new BlockBytes().option(14, data(8))).bytes,
    code: "corrupt",
    offset: 44,
    reason: /calendar/,
  },
  {
    name: "timestamp of centuries",
    file: new BlockBytes()
      .section()
      .iface(1, 0, new BlockBytes().option(9, Uint8Array.of(0)))
      .packet(0, 0xffffffff, 0, 0, 0, none).bytes,
    code: "corrupt",
    offset: 56,
    reason: /calendar/,
  },
];

describe("hostile and broken files", () => {
  for (const { name, file, code, offset, before, reason } of cases) {
    test(`${name}: one clear error, wherever the chunks are cut`, () => {
      for (const chunkSizes of [[file.length || 1], [1], [7, 3]]) {
        const error = failureOf(file, chunkSizes);
        expect(error.code).toBe(CaptureErrorCode[code]);
        expect(error.fileOffsetBytes).toBe(offset);
        expect(error.packetsBefore).toBe(before ?? 0);
        expect(error.reason).toMatch(reason);
        expect(error.message).toMatch(/^[^\n]+ \(byte \d+, after \d+ packets; ERR_NETMEM_CAPTURE_[A-Z_]+\)$/);
      }
    });
  }

  test("a snap length of 4 GiB costs nothing", () => {
    const file = new BlockBytes().section().iface(1, 0xffffffff).packet(0, 0, 0, 4, 4, data(4)).simple(4, data(4));
    expect(readStreamed(file.bytes, [5]).packets.length).toBe(2);
  });

  test("the block limit is the caller's: one byte more is refused, also where it is only skipped", () => {
    for (const type of [5, 6]) {
      const file = start().block(type, data(200));
      expect(failureOf(file.bytes, [64], 208).reason).toMatch(
        "a block of 212 bytes is larger than maxBlockBytes (208)",
      );
    }
    const fits = start().packet(0, 0, 0, 180, 180, data(180));
    expect(readStreamed(fits.bytes, [64], { maxBlockBytes: 212 }).packets.length).toBe(1);
    expect(readStreamed(pcapBytes([record(84, 84)]), [9], { maxBlockBytes: 100 }).packets.length).toBe(1);
    expect(failureOf(pcapBytes([record(85, 85)]), [9], 100).reason).toMatch("a record of 101 bytes");
    expect(() => new CaptureReader({ maxBlockBytes: 63 })).toThrow(CaptureErrorCode.misuse);
    expect(() => new CaptureReader({ maxBlockBytes: 2 ** 30 + 1 })).toThrow(CaptureErrorCode.misuse);
  });

  test("more interfaces than the limit are refused", () => {
    const file = new BlockBytes().section();
    const one = new BlockBytes().iface(1, 0).bytes;
    const bytes = new Uint8Array(28 + 65_537 * one.length);
    bytes.set(file.bytes);
    for (let at = 28; at < bytes.length; at += one.length) bytes.set(one, at);
    expect(failureOf(bytes, [bytes.length]).reason).toBe("a section has more than 65536 interfaces");
  });

  test("a reader that failed stays failed, with the same error", () => {
    const reader = new CaptureReader();
    const info = new PacketInfo();
    reader.push(new TextEncoder().encode("not a capture"));
    const attempt = (): unknown => {
      try {
        return reader.nextInto(new Uint8Array(8), 0, 8, info);
      } catch (error) {
        return error;
      }
    };
    const first = attempt();
    expect(first).toBeInstanceOf(CaptureError);
    expect(attempt()).toBe(first);
  });

  test("misuse is refused and leaves the reader as it was", () => {
    const reader = new CaptureReader();
    const info = new PacketInfo();
    const memory = new Uint8Array(8);
    reader.push(good().bytes);
    for (const [off, max] of [
      [0, 9],
      [8, 1],
      [-1, 4],
      [0, -1],
      [Number.NaN, 1],
    ] as const) {
      expect(() => reader.nextInto(memory, off, max, info)).toThrow(CaptureErrorCode.misuse);
    }
    expect(() => reader.push(none)).toThrow(CaptureErrorCode.misuse);
    expect(reader.nextInto(memory, 4, 4, info)).toBe(1);
    expect([...memory]).toEqual([0, 0, 0, 0, 7, 7, 7, 7]);
    reader.finish();
    expect(() => reader.push(none)).toThrow("push after finish");
  });
});
