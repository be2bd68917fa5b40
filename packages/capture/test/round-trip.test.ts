import fc from "fast-check";
import { expect, test } from "vitest";
import { createPcapngWriter, createPcapWriter, LinkType, type CaptureWriter } from "../src/index.ts";
import { concat, readStreamed } from "./capture-bytes.ts";
import { readWholeFile, type WholePacket } from "./whole-file-reader.ts";

interface Given {
  data: Uint8Array;
  cutBytes: number;
  tsSec: number;
  tsNs: number;
  interfaceIdx: number;
}

const NS = 1_000_000_000n;
const given = (interfaceCount: number): fc.Arbitrary<Given> =>
  fc.record({
    data: fc.uint8Array({ maxLength: 300 }),
    cutBytes: fc.oneof(fc.constant(0), fc.nat(2000)),
    tsSec: fc.oneof(fc.nat(2 ** 31 - 1), fc.constant(2 ** 32 - 1), fc.constant(0)),
    tsNs: fc.oneof(fc.nat(999_999_999), fc.constant(999_999_999), fc.constant(0)),
    interfaceIdx: fc.nat(interfaceCount - 1),
  });
const chunking = fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 5000 })), { minLength: 1, maxLength: 8 });

function write(writer: CaptureWriter, packets: Given[]): void {
  for (const { data, cutBytes, tsSec, tsNs, interfaceIdx } of packets) {
    const memory = concat([new Uint8Array(5), data, new Uint8Array(3)]);
    const originalLenBytes = data.length + cutBytes;
    writer.writePacket(memory, 5, data.length, { originalLenBytes, tsSec, tsNs, interfaceIdx });
  }
  writer.flush();
}

/** What the packet's time becomes in ticks of this resolution, and back. */
function cutTime(packet: Given, resolution: number): bigint {
  const timeNs = BigInt(packet.tsSec) * NS + BigInt(packet.tsNs);
  const ticksPerSec = resolution > 127 ? 2n ** BigInt(resolution - 128) : 10n ** BigInt(resolution);
  return (((timeNs * ticksPerSec) / NS) * NS) / ticksPerSec;
}

function expectSame(packets: WholePacket[], expected: Omit<WholePacket, "fileOffsetBytes">[]): void {
  expect(packets).toEqual(
    expected.map((packet, idx) => ({ ...packet, fileOffsetBytes: packets[idx]?.fileOffsetBytes })),
  );
}

test("pcap: what is written is what both readers read, in every byte order, resolution and chunking", () => {
  const options = fc.record({
    bigEndian: fc.boolean(),
    resolution: fc.constantFrom("us" as const, "ns" as const),
    linkType: fc.constantFrom(LinkType.ethernet, LinkType.raw, LinkType.ipv6, 65_535),
    snapLenBytes: fc.integer({ min: 1, max: 400 }),
    chunkBytes: fc.integer({ min: 64, max: 4096 }),
  });
  fc.assert(
    fc.property(options, fc.array(given(1), { maxLength: 20 }), chunking, (options, packets, chunkSizes) => {
      const chunks: Uint8Array[] = [];
      const writer = createPcapWriter({ ...options, onChunk: (chunk) => chunks.push(chunk) });
      write(writer, packets);
      const file = concat(chunks);
      expect(writer.totalBytes).toBe(file.length);
      const expected = packets.map((packet) => ({
        data: [...packet.data.subarray(0, options.snapLenBytes)],
        originalLenBytes: packet.data.length + packet.cutBytes,
        linkType: options.linkType,
        interfaceIdx: 0,
        timeNs: cutTime(packet, options.resolution === "ns" ? 9 : 6),
      }));
      const whole = readWholeFile(file);
      const { packets: streamed, reader } = readStreamed(file, chunkSizes);
      expectSame(whole, expected);
      expect(streamed).toEqual(whole);
      expect(reader.packetCount).toBe(packets.length);
      expect(reader.snappedCount).toBe(expected.filter((p) => p.data.length < p.originalLenBytes).length);
    }),
    { numRuns: 300 },
  );
});

test("pcapng: what is written is what both readers read, with several interfaces of every resolution", () => {
  const iface = fc.record({
    linkType: fc.constantFrom(LinkType.ethernet, LinkType.raw, LinkType.ipv4, 276),
    name: fc.oneof(fc.constant(""), fc.string({ unit: "binary", maxLength: 30 })),
    snapLenBytes: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 400 })),
    tsResolution: fc.oneof(fc.nat(9), fc.integer({ min: 128, max: 151 })),
    tsOffsetSec: fc.constantFrom(0, 0, -1, -1_000_000),
  });
  const file = fc.record({
    bigEndian: fc.boolean(),
    chunkBytes: fc.integer({ min: 64, max: 4096 }),
    interfaces: fc.array(iface, { minLength: 3, maxLength: 3 }),
    packets: fc.array(given(3), { maxLength: 20 }),
  });
  fc.assert(
    fc.property(fc.array(file, { minLength: 1, maxLength: 3 }), chunking, (sections, chunkSizes) => {
      const chunks: Uint8Array[] = [];
      const expected = sections.flatMap(({ bigEndian, chunkBytes, interfaces, packets }) => {
        const writer = createPcapngWriter({ bigEndian, chunkBytes, onChunk: (chunk) => chunks.push(chunk) });
        expect(interfaces.map((params) => writer.addInterface(params))).toEqual([0, 1, 2]);
        const fitting = packets.filter(({ tsSec }) => tsSec < 2 ** 31);
        write(writer, fitting);
        return fitting.map((packet) => {
          const from = interfaces[packet.interfaceIdx] ?? expect.unreachable();
          return {
            data: [...packet.data.subarray(0, from.snapLenBytes || Infinity)],
            originalLenBytes: packet.data.length + packet.cutBytes,
            linkType: from.linkType,
            interfaceIdx: packet.interfaceIdx,
            timeNs: cutTime(packet, from.tsResolution),
          };
        });
      });
      const bytes = concat(chunks);
      const whole = readWholeFile(bytes);
      const { packets: streamed, reader } = readStreamed(bytes, chunkSizes);
      expectSame(whole, expected);
      expect(streamed).toEqual(whole);
      expect(reader.sectionCount).toBe(sections.length);
      const names = sections.at(-1)?.interfaces.map(({ name }) => name.toWellFormed());
      expect(reader.interfaces.map(({ name }) => name)).toEqual(names);
    }),
    { numRuns: 300 },
  );
});

test("one byte at a time gives the same packets as the whole file at once", () => {
  const chunks: Uint8Array[] = [];
  const writer = createPcapngWriter({ onChunk: (chunk) => chunks.push(chunk) });
  writer.addInterface({ linkType: LinkType.ethernet });
  const data = Uint8Array.from({ length: 9000 }, (_, idx) => idx % 251);
  for (let nth = 1; nth <= 20; nth++) {
    writer.writePacket(data, 0, nth * 450, { originalLenBytes: 0, tsSec: nth, tsNs: 0, interfaceIdx: 0 });
  }
  writer.flush();
  const file = concat(chunks);
  expect(readStreamed(file, [1]).packets).toEqual(readStreamed(file).packets);
  expect(readStreamed(file).packets.length).toBe(20);
});
