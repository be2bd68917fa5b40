import {
  asPageRef,
  compoundHead,
  getNetmem,
  idxOf,
  type PageRef,
  pageRefCount,
  putNetmem,
  refNetmem,
  returnNetmem,
  returnNetmemBulk,
} from "@netmem/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createPageShared, type PageShared } from "../src/index.ts";
import { audit, blockCounts, createTestHost, expectRefused, type TestHost } from "./test-host.ts";

interface Holding {
  readonly ref: PageRef;
  readonly order: number;
  holders: number;
}

type Bulk = "allocBulk" | "freeBulk" | "returnBulk";
type Touch = "free" | "return" | "put" | "get" | "ref";

interface Command {
  readonly kind: "alloc" | "allocShared" | "drainList" | "misuse" | Bulk | Touch;
  /** Order, number of pages, or which of the pages that are out. */
  readonly n: number;
}

const pick = fc.nat(10_000);
const order = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 10 }) },
);
const bulk = fc.integer({ min: 0, max: 150 });
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("alloc" as const), n: order }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("allocBulk" as const), n: bulk }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("freeBulk" as const, "returnBulk" as const), n: bulk }) },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constantFrom("free" as const, "return" as const, "put" as const, "get" as const, "ref" as const),
      n: pick,
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("misuse" as const), n: pick }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom("allocShared" as const, "drainList" as const), n: fc.constant(0) }),
  },
);

/** The allocator, and by its side the list of who holds what. */
class Pair {
  readonly subject: TestHost;
  private readonly shared: PageShared;
  private readonly live: Holding[] = [];
  private readonly dead: PageRef[] = [];

  constructor() {
    this.subject = createTestHost();
    this.shared = createPageShared(this.subject.host);
  }

  run({ kind, n }: Command): void {
    if (kind === "alloc") this.alloc(n);
    else if (kind === "allocBulk") this.allocBulk(n);
    else if (kind === "freeBulk" || kind === "returnBulk") this.freeBulk(kind, n);
    else if (kind === "allocShared") this.adopt(this.shared.alloc(), 0);
    else if (kind === "drainList") this.subject.pages.drainList();
    else if (kind === "misuse") this.misuse(n);
    else this.touch(kind, n);
    audit(this.subject, new Map(this.live.map(({ ref, order }) => [idxOf(ref), order])));
  }

  /** Everything home: the lists look as on the first day. */
  finish(initial: readonly number[]): void {
    for (const { ref, holders } of this.live.splice(0)) {
      for (let k = 0; k < holders; k++) returnNetmem(this.subject.host, ref);
    }
    this.subject.pages.drainList();
    audit(this.subject, new Map());
    expect(blockCounts(this.subject.pages)).toEqual(initial);
  }

  private alloc(order: number): void {
    const { pages } = this.subject;
    const possible = order === 0 ? pages.freePageCount() > 0 : undefined;
    const ref = pages.allocPages(order);
    if (possible !== undefined) expect(ref !== 0).toBe(possible);
    if (ref === 0 && order > 0) expect(pages.buddy.findOrder(order)).toBe(-1);
    this.adopt(ref, order);
  }

  private adopt(ref: PageRef | 0, order: number): void {
    if (ref === 0) return;
    expect(this.dead.slice(-500)).not.toContain(ref);
    this.live.push({ ref, order, holders: 1 });
  }

  private allocBulk(n: number): void {
    const { pages } = this.subject;
    const free = pages.freePageCount();
    const refs = new Int32Array(n);
    const got = pages.allocBulk(refs, n);
    expect(got).toBe(Math.min(n, free));
    for (const ref of refs.subarray(0, got)) this.adopt(asPageRef(ref), 0);
  }

  private freeBulk(kind: Bulk, n: number): void {
    const { host, pages } = this.subject;
    const gone = this.live
      .filter(({ holders, order }) => holders === 1 && (order === 0 || kind === "returnBulk"))
      .slice(0, n);
    const refs = Int32Array.from(gone, ({ ref }) => ref);
    if (kind === "freeBulk") pages.freeBulk(refs, refs.length);
    else returnNetmemBulk(host, refs, refs.length);
    for (const holding of gone) this.bury(holding);
  }

  private touch(kind: Touch, pick: number): void {
    const { host, pages } = this.subject;
    const holding = this.live[pick % Math.max(this.live.length, 1)];
    if (holding === undefined) return;
    const { ref } = holding;
    if (kind === "get" || kind === "ref") {
      if (kind === "get") getNetmem(host, ref);
      else refNetmem(host, ref);
      holding.holders++;
      return;
    }
    if (kind === "free" && holding.holders > 1) {
      expectRefused(host, "ERR_NETMEM_PAGE_SHARED", () => pages.freePage(ref));
      return;
    }
    if (kind === "free") pages.freePage(ref);
    else if (kind === "put" && pageRefCount(host, ref) === holding.holders) putNetmem(host, ref);
    else returnNetmem(host, ref);
    holding.holders--;
    if (holding.holders === 0) this.bury(holding);
  }

  /** A dead reference, or a tail of a live block, through every door. */
  private misuse(pick: number): void {
    const { host, pages } = this.subject;
    const holding = this.live[pick % Math.max(this.live.length, 1)];
    if (holding !== undefined && holding.order > 0) {
      const tail = asPageRef(holding.ref + 2 * (1 + (pick % (2 ** holding.order - 1))));
      expect(compoundHead(host, tail)).toBe(holding.ref);
      expectRefused(host, "ERR_NETMEM_STALE_REF", () => returnNetmem(host, tail));
      return;
    }
    const ref = this.dead[this.dead.length - 1 - (pick % Math.min(this.dead.length, 300))];
    if (ref === undefined) return;
    const calls = [
      () => pages.freePage(ref),
      () => returnNetmem(host, ref),
      () => putNetmem(host, ref),
      () => getNetmem(host, ref),
    ];
    for (const call of calls) expectRefused(host, /^ERR_NETMEM_(DOUBLE_PUT|STALE_REF)$/, call);
  }

  private bury(holding: Holding): void {
    this.live.splice(this.live.indexOf(holding), 1);
    this.dead.push(holding.ref);
  }
}

test("every page is in one place, whatever the calls", () => {
  let ran = 0;
  fc.assert(
    fc.property(fc.array(command, { minLength: 20, maxLength: 150, size: "max" }), (commands) => {
      const pair = new Pair();
      const initial = blockCounts(pair.subject.pages);
      for (const command of commands) pair.run(command);
      pair.finish(initial);
      ran += commands.length;
    }),
    { seed: 20260102, numRuns: 100 },
  );
  expect(ran).toBeGreaterThanOrEqual(5000);
});
