import { asPageRef, type Host, idxOf, type PageRef, returnNetmem, returnNetmemBulk } from "@netmem/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { audit, blockCounts, createTestHost, type TestHost } from "./test-host.ts";

const NODES = 3;
const nid = fc.integer({ min: -1, max: NODES });
const pick = fc.nat(10_000);

type Command =
  | { readonly kind: "alloc"; readonly order: number; readonly nid: number; readonly strict: boolean }
  | { readonly kind: "bulk"; readonly count: number; readonly nid: number; readonly strict: boolean }
  | { readonly kind: "free"; readonly pick: number }
  | { readonly kind: "return"; readonly pick: number }
  | { readonly kind: "freeBulk"; readonly count: number }
  | { readonly kind: "returnBulk"; readonly count: number }
  | { readonly kind: "move"; readonly nid: number }
  | { readonly kind: "drainList" };

const order = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 9 }) },
);
const count = fc.oneof({ weight: 6, arbitrary: fc.nat(200) }, { weight: 1, arbitrary: fc.constant(1200) });
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("alloc" as const), order, nid, strict: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("bulk" as const), count, nid, strict: fc.boolean() }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom("free" as const, "return" as const), pick }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("freeBulk" as const, "returnBulk" as const), count }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("move" as const), nid }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("drainList" as const) }) },
);

/** Nodes by distance from `from`, written down the slow way. */
function byDistance(from: number): number[] {
  const out: number[] = [];
  for (let distance = 0; distance <= NODES + 8; distance++) {
    for (const node of [from - distance, from + distance]) {
      if (node >= 0 && node < NODES && !out.includes(node)) out.push(node);
    }
  }
  return out;
}

/** Three nodes, and by their side how many pages each must have free. */
class Pair {
  readonly subject: TestHost;
  private readonly free: number[];
  private readonly live: { readonly ref: PageRef; readonly order: number }[] = [];

  constructor() {
    this.subject = createTestHost({ arenaBytes: 12 * 2 ** 20, nodes: NODES });
    this.free = [0, 1, 2].map((node) => this.subject.pages.freePageCount(node));
  }

  private get host(): Host {
    return this.subject.host;
  }

  run(step: Command): void {
    if (step.kind === "alloc") this.alloc(step.order, step.nid, step.strict);
    else if (step.kind === "bulk") this.bulk(step.count, step.nid, step.strict);
    else if (step.kind === "move") this.host.context.nid = step.nid;
    else if (step.kind === "drainList") this.subject.pages.drainList();
    else if (step.kind === "freeBulk" || step.kind === "returnBulk") this.giveMany(step.kind, step.count);
    else this.giveOne(step.kind, step.pick);
    audit(this.subject, new Map(this.live.map(({ ref, order: k }) => [idxOf(ref), k])));
    expect([0, 1, 2].map((node) => this.subject.pages.freePageCount(node))).toEqual(this.free);
  }

  finish(initial: readonly number[]): void {
    this.giveMany("returnBulk", this.live.length);
    this.subject.pages.drainList();
    audit(this.subject, new Map());
    expect(blockCounts(this.subject.pages)).toEqual(initial);
  }

  /** The nodes that may serve, nearest first. */
  private candidates(wanted: number, strict: boolean): number[] {
    const local = Math.min(Math.max(this.host.context.nid, 0), NODES - 1);
    const from = wanted < 0 ? local : wanted;
    return strict ? byDistance(from).filter((node) => node === from) : byDistance(from);
  }

  private alloc(k: number, wanted: number, strict: boolean): void {
    const candidates = this.candidates(wanted, strict);
    const ref = this.subject.pages.allocPages(k, wanted, strict);
    const nearest = candidates.find((node) => this.free[node]! >= 2 ** k);
    if (k === 0) expect(ref === 0 ? undefined : this.host.nodeOf(ref)).toBe(nearest);
    if (ref === 0) return;
    expect(candidates).toContain(this.host.nodeOf(ref));
    this.adopt(ref, k);
  }

  private bulk(n: number, wanted: number, strict: boolean): void {
    const out = new Int32Array(n);
    const expected: number[] = [];
    for (const node of this.candidates(wanted, strict)) {
      for (let k = Math.min(this.free[node]!, n - expected.length); k > 0; k--) expected.push(node);
    }
    const got = this.subject.pages.allocBulk(out, n, wanted, strict);
    const refs = Array.from(out.subarray(0, got), (ref) => asPageRef(ref));
    expect(refs.map((ref) => this.host.nodeOf(ref))).toEqual(expected);
    for (const ref of refs) this.adopt(ref, 0);
  }

  private giveOne(kind: "free" | "return", which: number): void {
    const at = which % Math.max(this.live.length, 1);
    const held = this.live[at];
    if (held === undefined) return;
    if (kind === "free") this.subject.pages.freePage(held.ref);
    else returnNetmem(this.host, held.ref);
    this.bury(this.live.splice(at, 1));
  }

  private giveMany(kind: "freeBulk" | "returnBulk", n: number): void {
    const gone = this.live.splice(0, n);
    const refs = Int32Array.from(gone, ({ ref }) => ref);
    if (kind === "freeBulk") this.subject.pages.freeBulk(refs, refs.length);
    else returnNetmemBulk(this.host, refs, refs.length);
    this.bury(gone);
  }

  private adopt(ref: PageRef, k: number): void {
    this.free[this.host.nodeOf(ref)]! -= 2 ** k;
    this.live.push({ ref, order: k });
  }

  private bury(gone: readonly { readonly ref: PageRef; readonly order: number }[]): void {
    for (const { ref, order: k } of gone) this.free[this.host.nodeOf(ref)]! += 2 ** k;
  }
}

test("three nodes: every page comes from the nearest node and goes home to its own", () => {
  let ran = 0;
  fc.assert(
    fc.property(fc.array(command, { minLength: 40, maxLength: 150, size: "max" }), (commands) => {
      const pair = new Pair();
      const initial = blockCounts(pair.subject.pages);
      for (const step of commands) pair.run(step);
      pair.finish(initial);
      ran += commands.length;
    }),
    { seed: 20260115, numRuns: 80 },
  );
  expect(ran).toBeGreaterThanOrEqual(5000);
});
