import fc from "fast-check";
import { expect, test } from "vitest";
import { CaptureError, CaptureReader, createPcapngWriter, createPcapWriter, LinkType } from "../src/index.ts";
import { BlockBytes, concat, pump } from "./capture-bytes.ts";
import type { WholePacket } from "./whole-file-reader.ts";

const MAX_BLOCK_BYTES = 4096;

function pcapFile(bigEndian: boolean): Uint8Array {
  const chunks: Uint8Array[] = [];
  const writer = createPcapWriter({ bigEndian, onChunk: (chunk) => chunks.push(chunk) });
  const data = new Uint8Array(100).fill(bigEndian ? 1 : 2);
  for (let nth = 0; nth < 8; nth++) {
    writer.writePacket(data, 0, nth * 13, { originalLenBytes: 100, tsSec: nth, tsNs: nth, interfaceIdx: 0 });
  }
  writer.flush();
  return concat(chunks);
}

function pcapngFile(bigEndian: boolean): Uint8Array {
  const chunks: Uint8Array[] = [];
  const writer = createPcapngWriter({ bigEndian, onChunk: (chunk) => chunks.push(chunk) });
  const data = new Uint8Array(100).fill(3);
  writer.addInterface({ linkType: LinkType.ethernet, name: "veth0", tsResolution: 9 });
  writer.addInterface({ linkType: LinkType.raw, tsResolution: 0x94, tsOffsetSec: -7 });
  for (let nth = 0; nth < 8; nth++) {
    writer.writePacket(data, 0, nth * 13, { originalLenBytes: 100, tsSec: nth, tsNs: nth, interfaceIdx: nth & 1 });
  }
  writer.flush();
  const extra = new BlockBytes(!bigEndian).section().iface(1, 50).simple(60, data.subarray(0, 50)).block(5, data);
  return concat([...chunks, extra.packet(0, 1, 2, 9, 9, data.subarray(0, 9), 2).bytes]);
}

const seeds = [pcapFile(false), pcapFile(true), pcapngFile(false), pcapngFile(true)];
/** Values that break length arithmetic. */
const nasty = fc.constantFrom(0, 1, 4, 8, 12, 16, 0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffffc, 0xffffffff);
const mutation = fc.oneof(
  fc.record({ kind: fc.constant("byte" as const), at: fc.nat(2000), value: fc.nat(255) }),
  fc.record({ kind: fc.constant("word" as const), at: fc.nat(2000), value: nasty }),
  fc.record({ kind: fc.constant("cut" as const), at: fc.nat(2000), value: fc.constant(0) }),
  fc.record({ kind: fc.constant("drop" as const), at: fc.nat(2000), value: fc.integer({ min: 1, max: 60 }) }),
  fc.record({ kind: fc.constant("double" as const), at: fc.nat(2000), value: fc.integer({ min: 1, max: 60 }) }),
);
type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

function mutate(file: Uint8Array, { kind, at: anywhere, value }: Mutation): Uint8Array {
  const at = anywhere % (file.length + 1);
  const mutated = file.slice();
  if (kind === "byte") mutated.fill(value, at, at + 1);
  if (kind === "word" && at + 4 <= file.length) new DataView(mutated.buffer).setUint32(at & ~3, value, value % 3 === 0);
  if (kind === "cut") return mutated.slice(0, at);
  if (kind === "drop") return concat([mutated.slice(0, at), mutated.slice(at + value)]);
  if (kind === "double") return concat([mutated.slice(0, at + value), mutated.slice(at)]);
  return mutated;
}

function outcome(file: Uint8Array, chunkSizes: number[]): { packets: WholePacket[]; error: string } {
  const packets: WholePacket[] = [];
  const reader = new CaptureReader({ maxBlockBytes: MAX_BLOCK_BYTES });
  try {
    pump(reader, file, chunkSizes, 120, (packet) => packets.push(packet));
    return { packets, error: "" };
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
    expect(error.packetsBefore).toBe(packets.length);
    expect(error.fileOffsetBytes).toBeLessThanOrEqual(file.length);
    return { packets, error: error.message };
  }
}

test("damaged files give packets and then at most one CaptureError, the same one however they are cut", () => {
  const chunkSizes = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(mutation, { maxLength: 5 }),
      chunkSizes,
      (seed, mutations, sizes) => {
        const file = mutations.reduce(mutate, seed);
        const whole = outcome(file, [file.length || 1]);
        expect(outcome(file, sizes)).toEqual(whole);
        // No record is smaller than 16 bytes, so a file cannot give more packets than this.
        expect(whole.packets.length).toBeLessThanOrEqual(file.length / 16);
        let last = -1;
        for (const packet of whole.packets) {
          expect(packet.fileOffsetBytes).toBeGreaterThan(last);
          last = packet.fileOffsetBytes;
        }
      },
    ),
    { numRuns: 5000 },
  );
});

test("every truncation of a valid file is an end or ERR_NETMEM_CAPTURE_TRUNCATED, never corrupt", () => {
  for (const seed of seeds) {
    const all = outcome(seed, [seed.length]).packets;
    expect(all.length).toBeGreaterThanOrEqual(8);
    for (let length = 1; length < seed.length; length++) {
      const { packets, error } = outcome(seed.slice(0, length), [length]);
      expect(error).toMatch(/^$|ERR_NETMEM_CAPTURE_TRUNCATED/);
      expect(packets).toEqual(all.slice(0, packets.length));
    }
  }
});

test("a file may end between blocks and nowhere inside one", () => {
  const file = new BlockBytes().section().iface(1, 0).block(99, new Uint8Array(20)).block(98, new Uint8Array(0)).bytes;
  const ends: number[] = [];
  for (let length = 1; length <= file.length; length++) {
    for (const chunkBytes of [length, 1])
      if (outcome(file.slice(0, length), [chunkBytes]).error === "") ends.push(length);
  }
  expect(ends).toEqual([28, 28, 48, 48, 80, 80, 92, 92]);
});

test("random bytes after a valid start never hang or escape", () => {
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.nat(60), fc.uint8Array({ maxLength: 400 }), (seed, keep, noise) => {
      const file = concat([seed.slice(0, keep), noise]);
      expect(outcome(file, [11])).toEqual(outcome(file, [file.length || 1]));
    }),
    { numRuns: 3000 },
  );
});
