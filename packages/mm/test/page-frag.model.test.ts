import { idxOf, type PageRef, pageRefCount, putNetmem, returnNetmem } from "@netmem/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createPageFrag, type PageFrag, pinReport } from "../src/index.ts";
import { audit, createTestHost, type TestHost } from "./test-host.ts";

type Command =
  | { readonly kind: "alloc"; readonly bytes: number }
  | { readonly kind: "return"; readonly pick: number }
  | { readonly kind: "put"; readonly pick: number }
  | { readonly kind: "drain" }
  | { readonly kind: "hoard" }
  | { readonly kind: "release" };

const bytes = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 3000 }) },
  { weight: 2, arbitrary: fc.integer({ min: 3000, max: 32768 }) },
);
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant("alloc" as const), bytes }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("return" as const), pick: fc.nat(10_000) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("put" as const), pick: fc.nat(10_000) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom("drain" as const, "hoard" as const, "release" as const) }),
  },
);

interface Piece {
  readonly ref: PageRef;
  readonly from: number;
  readonly to: number;
}

/** The allocator, and by its side every piece that is out. */
class Pair {
  readonly subject: TestHost = createTestHost();
  readonly frag: PageFrag = createPageFrag(this.subject.host);
  private readonly live: Piece[] = [];
  private hoard: PageRef[] = [];
  /** The block that is being cut may have no piece out. */
  private open: PageRef | 0 = 0;

  run(step: Command): void {
    if (step.kind === "alloc") this.alloc(step.bytes);
    else if (step.kind === "drain") this.drain();
    else if (step.kind === "hoard") this.takeBlocks();
    else if (step.kind === "release") this.release();
    else this.give(step.kind, step.pick);
    this.check();
  }

  finish(): void {
    this.frag.destroy();
    this.open = 0;
    this.release();
    while (this.live.length > 0) this.give("return", 0);
    this.check();
    expect(this.subject.pages.freePageCount()).toBe(this.subject.pages.totalPageCount);
  }

  private alloc(size: number): void {
    const { host } = this.subject;
    const ref = this.frag.alloc(size);
    if (ref === 0) {
      expect(this.hoard.length).toBeGreaterThan(0);
      this.open = 0;
      return;
    }
    const from = host.offsetOf(ref) + this.frag.lastOffset;
    expect(from % 8).toBe(0);
    expect(this.frag.lastOffset + size).toBeLessThanOrEqual(host.bufferBytes(ref));
    const piece = { ref, from, to: from + size };
    expect(this.live.filter((other) => other.from < piece.to && piece.from < other.to)).toEqual([]);
    this.live.push(piece);
    this.open = ref;
  }

  private give(kind: "return" | "put", which: number): void {
    const [piece] = this.live.splice(which % Math.max(this.live.length, 1), 1);
    if (piece === undefined) return;
    if (kind === "return") returnNetmem(this.subject.host, piece.ref);
    else putNetmem(this.subject.host, piece.ref);
  }

  private drain(): void {
    this.frag.drain();
    this.open = 0;
  }

  /** Leaves no block of order 3, and a few single pages. */
  private takeBlocks(): void {
    const { pages } = this.subject;
    for (let ref = pages.allocPages(3); ref !== 0; ref = pages.allocPages(3)) this.hoard.push(ref);
    const last = this.hoard.pop();
    if (last !== undefined) pages.freePage(last);
    const page = last === undefined ? 0 : pages.allocPages(0);
    if (page !== 0) this.hoard.push(page);
  }

  private release(): void {
    for (const ref of this.hoard) this.subject.pages.freePage(ref);
    this.hoard = [];
  }

  private check(): void {
    const { host } = this.subject;
    const order = (ref: PageRef): number => Math.log2(host.bufferBytes(ref) / host.pageSizeBytes);
    const refs = [...this.live.map(({ ref }) => ref), ...this.hoard];
    if (this.open !== 0) refs.push(this.open);
    audit(this.subject, new Map(refs.map((ref) => [idxOf(ref), order(ref)])));
    const holders = Map.groupBy(this.live, ({ ref }) => ref);
    for (const [ref, pieces] of holders) if (ref !== this.open) expect(pageRefCount(host, ref)).toBe(pieces.length);
    const pinned = new Set([...holders.keys()].filter((ref) => ref !== this.open));
    expect(pinReport(host).blockCount).toBe(pinned.size + (this.open === 0 ? 0 : 1));
  }
}

test("pieces never overlap, and a block is free exactly when its last piece is home", () => {
  let ran = 0;
  fc.assert(
    fc.property(fc.array(command, { minLength: 40, maxLength: 150, size: "max" }), (commands) => {
      const pair = new Pair();
      for (const step of commands) pair.run(step);
      pair.finish();
      ran += commands.length;
    }),
    { seed: 20260204, numRuns: 80 },
  );
  expect(ran).toBeGreaterThanOrEqual(5000);
});
