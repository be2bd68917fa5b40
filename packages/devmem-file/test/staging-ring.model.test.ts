import fc from "fast-check";
import { expect, test } from "vitest";
import { type StagingPiece, StagingRing } from "../src/staging-ring.ts";

const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);
const BYTES = 64 * 1024;

interface Held {
  readonly piece: StagingPiece;
  readonly start: number;
  length: number;
}

const command = fc.record({
  op: fc.constantFrom("take", "take", "shrink", "give"),
  length: fc.integer({ min: 1, max: BYTES / 4 }),
  which: fc.nat(),
});

test("pieces are apart, aligned and inside, and all of it is there again when all are back", () => {
  console.log(`devmem-file staging: NETMEM_SEED=${seed}`);
  const aligns = fc.constantFrom(1, 4096);
  fc.assert(
    fc.property(aligns, fc.array(command, { maxLength: 200 }), (alignBytes, commands) => {
      const ring = new StagingRing(BYTES, alignBytes);
      const held: Held[] = [];
      for (const { op, length, which } of commands) {
        const chosen = held[which % Math.max(1, held.length)];
        if (op === "take") take(ring, held, length, alignBytes);
        else if (chosen === undefined) continue;
        else if (op === "shrink") {
          chosen.length = Math.min(chosen.length, length);
          ring.shrink(chosen.piece, chosen.length);
        } else {
          ring.give(chosen.piece);
          held.splice(held.indexOf(chosen), 1);
        }
        checkApart(held);
      }
      for (const { piece } of held) ring.give(piece);
      expect(ring.take(BYTES)).not.toBe(null);
    }),
    { seed, numRuns: 500 },
  );
});

function take(ring: StagingRing, held: Held[], length: number, alignBytes: number): void {
  const piece = ring.take(length);
  if (held.length === 0) expect(piece).not.toBe(null);
  if (piece === null) return;
  const start = piece.bytes.byteOffset;
  expect([start % alignBytes, piece.bytes.length, start + length <= BYTES]).toEqual([0, length, true]);
  held.push({ piece, start, length });
}

function checkApart(held: readonly Held[]): void {
  const byStart = held.toSorted((a, b) => a.start - b.start);
  for (const [n, { start, length }] of byStart.entries()) {
    const next = byStart[n + 1];
    if (next !== undefined) expect(start + length).toBeLessThanOrEqual(next.start);
  }
}
