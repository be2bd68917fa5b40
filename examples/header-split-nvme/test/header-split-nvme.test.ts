import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createFileMemory, type FileOps, openFileMemory } from "@netmem/devmem-file";
import { buildPacket, ipv4Address, macAddress, Prng } from "@netmem/testing";
import { expect, onTestFinished, test } from "vitest";
import { inOrder, largestStream, readFrames, Stand } from "../stand.ts";
import { compareWithFile } from "../verify.ts";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));
const PCAP = fileURLToPath(new URL("../../mixed-nic/capture/mixed.pcap", import.meta.url));
const flow = { src: ipv4Address("10.0.0.1"), dst: ipv4Address("10.0.0.2"), srcPort: 4000, dstPort: 5000 };
const MIB = 2 ** 20;

/** Frames of a stream whose payload is random, and the payload. */
function madeUpStream(prng: Prng, count: number): { frames: Uint8Array[]; bytes: Uint8Array } {
  const bytes = Uint8Array.from({ length: count * 1000 }, () => prng.below(256));
  const frames = Array.from({ length: count }, (_, n) => {
    const frame = new Uint8Array(1054);
    buildPacket(frame, 0, {
      ethernet: { srcMac: macAddress("02:00:00:00:00:01"), dstMac: macAddress("02:00:00:00:00:02") },
      network: { kind: "ipv4", src: flow.src, dst: flow.dst },
      transport: { kind: "tcp", srcPort: flow.srcPort, dstPort: flow.dstPort, seq: (0xffffff00 + n * 1000) >>> 0 },
      payload: bytes.subarray(n * 1000, n * 1000 + 1000),
      frameBytes: 1054,
    });
    return frame;
  });
  return { frames, bytes };
}

/** A file in memory whose writes fail, or are short, as `outcome` says. */
class MadeUpFile implements FileOps {
  readonly bytes: Uint8Array = new Uint8Array(4 * MIB);
  private readonly outcome: () => number | "ENOSPC";

  constructor(outcome: () => number | "ENOSPC") {
    this.outcome = outcome;
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<number> {
    const outcome = this.outcome();
    if (outcome === "ENOSPC") throw Object.assign(new Error("no space left"), { code: outcome });
    const all = Buffer.concat(buffers).subarray(0, outcome);
    this.bytes.set(all, position);
    return all.length;
  }

  read(): Promise<number> {
    return Promise.reject(new Error("nobody reads"));
  }

  async sync(): Promise<void> {}
  async close(): Promise<void> {}
}

test("the example runs, and every byte of the captured stream is in the file", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/payload in the file: 120000 bytes right, 0 wrong or missing\n/);
  expect(stdout).toMatch(/payload that this process read back: 0 bytes\ntokens still out: 0, pages lost: 0\n$/);
});

test("the comparison can fail: one byte changed in the capture's stream is found", async () => {
  const dir = mkdtempSync(join(tmpdir(), "header-split-nvme-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const path = join(dir, "payload");
  const frames = readFrames(PCAP);
  const stream = largestStream(frames)!;
  const memory = await openFileMemory({ path, sizeBytes: 8 * MIB });
  const stand = new Stand({ memory, flow: stream.flow });
  await stand.run(frames);
  const pieces = inOrder(stand.stream.pieces, stream.firstSeq);
  expect(compareWithFile(path, pieces, stream)).toBe(0);
  expect(compareWithFile(path, pieces.slice(1), stream)).toBe(pieces[0]!.length);
  stream.bytes[1234]! ^= 1;
  expect(compareWithFile(path, pieces, stream)).toBe(1);
  await stand.close();
  await memory.close();
});

test("#175 a disk that is full now and then, and writes short: packets are missing, no token and no page is", async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const prng = new Prng(seed);
    const file = new MadeUpFile(() => (prng.below(3) === 0 ? "ENOSPC" : 1 + prng.below(20_000)));
    const memory = createFileMemory({ sizeBytes: 4 * MIB, ops: file });
    const { frames, bytes } = madeUpStream(prng, 600);
    const warnings: unknown[] = [];
    const stand = new Stand({ memory, flow, onWarning: (warning) => warnings.push(warning) });
    await stand.run(frames);
    const { pieces } = stand.stream;
    const { failed } = stand.socket.stats();
    // What was delivered is right; what is not there was counted.
    expect(failed).toBeGreaterThan(10);
    expect(pieces.length + failed + stand.dropped).toBe(600);
    for (const { seq, offset, length } of pieces) {
      const at = (seq - 0xffffff00) | 0;
      expect(Buffer.compare(file.bytes.subarray(offset, offset + length), bytes.subarray(at, at + length))).toBe(0);
    }
    await stand.close();
    await memory.close();
    expect(stand.socket.stats()).toMatchObject({
      tokens: 0,
      returned: 600 - failed - stand.dropped,
      lost: 0,
      unknown: 0,
    });
    expect([stand.binding.isFreed, warnings]).toEqual([true, []]);
  }
});

test("a disk that fails for good: everything is dropped, everything goes home", async () => {
  const file = new MadeUpFile(() => {
    throw new Error("gone");
  });
  const memory = createFileMemory({ sizeBytes: 4 * MIB, ops: file });
  const { frames } = madeUpStream(new Prng(1), 300);
  const stand = new Stand({ memory, flow });
  await stand.run(frames);
  expect([stand.stream.pieces.length, stand.socket.stats().failed + stand.dropped]).toEqual([0, 300]);
  await stand.close();
  expect(stand.binding.isFreed).toBe(true);
  await memory.close();
});
