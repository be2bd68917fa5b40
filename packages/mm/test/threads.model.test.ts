import { asPageRef, idxOf, type PageRef } from "@netmem/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createPageAllocatorWith, type PageAllocatorParams } from "../src/index.ts";
import { attachTestHost, audit, blockCounts, createTestHost, type TestHost } from "./test-host.ts";

/** NETMEM_SEED replays a run; without it every run has a seed of its own. */
const given = process.env["NETMEM_SEED"];
const seed = given === undefined || given === "" ? Math.floor(Math.random() * 2 ** 31) : Number(given);
console.log(`threads model: NETMEM_SEED=${seed}`);

interface Command {
  readonly kind: "alloc" | "allocBulk" | "free" | "freeBulk" | "drainList" | "leave" | "join";
  readonly thread: number;
  /** Order, number of pages, or which of the pages that are out. */
  readonly n: number;
}

const THREADS = 4;
const thread = fc.nat(THREADS - 1);
const commandOf = (kind: Command["kind"], n: fc.Arbitrary<number>): fc.Arbitrary<Command> =>
  fc.record({ kind: fc.constant(kind), thread, n });
const orders = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 10 }) },
);
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: commandOf("alloc", orders) },
  { weight: 3, arbitrary: commandOf("allocBulk", fc.nat(200)) },
  { weight: 8, arbitrary: commandOf("free", fc.nat(10_000)) },
  { weight: 3, arbitrary: commandOf("freeBulk", fc.nat(200)) },
  { weight: 1, arbitrary: commandOf("drainList", fc.constant(0)) },
  { weight: 1, arbitrary: commandOf("leave", fc.constant(0)) },
  { weight: 1, arbitrary: commandOf("join", fc.constant(0)) },
);

/** Threads that take turns on one arena, and by their side what is out. Whoever frees a page need not have taken it. */
class Model {
  readonly creator: TestHost;
  private readonly threads: (TestHost | null)[];
  private readonly out = new Map<number, number>();
  private readonly refs: PageRef[] = [];
  private readonly limit: number;

  constructor(params: PageAllocatorParams, nodes: number) {
    const pageAllocator = createPageAllocatorWith(params);
    this.creator = createTestHost({ arenaBytes: nodes * 8 * 2 ** 20, nodes, pageAllocator });
    this.limit = params.limitPages ?? Infinity;
    const workers = Array.from({ length: THREADS - 1 }, (_, n) => this.join(n));
    this.threads = [this.creator, ...workers];
    this.audit();
  }

  run(command: Command): void {
    const at = command.thread;
    const subject = this.threads[at];
    if (command.kind === "join") this.threads[at] ??= this.join(at);
    else if (subject !== null && subject !== undefined) this.perform(command, subject);
    this.audit();
  }

  /** Everything home, and every worker gone. */
  finish(initial: readonly number[]): void {
    for (const ref of this.refs.splice(0)) this.creator.pages.freePage(ref);
    this.out.clear();
    for (const subject of this.threads) if (subject !== null) subject.pages.drainList();
    for (const subject of this.threads.splice(1)) subject?.host.detach();
    audit(this.creator, this.out);
    expect(blockCounts(this.creator.pages)).toEqual(initial);
  }

  private join(at: number): TestHost {
    const subject = attachTestHost(this.creator);
    subject.host.context.nid = at % subject.host.nodeCount;
    return subject;
  }

  private perform({ kind, thread, n }: Command, subject: TestHost): void {
    const { pages } = subject;
    if (kind === "alloc") this.adopt(pages.allocPages(n), n);
    else if (kind === "free" && this.refs.length > 0) this.freeOne(subject, n % this.refs.length);
    else if (kind === "drainList") pages.drainList();
    else if (kind === "leave" && thread > 0) {
      subject.host.detach();
      this.threads[thread] = null;
    } else if (kind === "allocBulk") {
      const refs = new Int32Array(n);
      const got = pages.allocBulk(refs, n);
      for (const ref of refs.subarray(0, got)) this.adopt(asPageRef(ref), 0);
    } else if (kind === "freeBulk") {
      const gone = this.refs.splice(0, n);
      for (const ref of gone) this.out.delete(idxOf(ref));
      pages.freeBulk(Int32Array.from(gone), gone.length);
    }
  }

  private freeOne({ pages }: TestHost, at: number): void {
    const [ref] = this.refs.splice(at, 1);
    if (ref === undefined) return;
    this.out.delete(idxOf(ref));
    pages.freePage(ref);
  }

  private adopt(ref: PageRef | 0, order: number): void {
    if (ref === 0) return;
    expect(this.out.has(idxOf(ref)), `page ${idxOf(ref)} is handed out twice`).toBe(false);
    this.out.set(idxOf(ref), order);
    this.refs.push(ref);
  }

  private audit(): void {
    const others = this.threads.slice(1).filter((one) => one !== null);
    audit({ ...this.creator, others }, this.out);
    let pagesOut = 0;
    for (const order of this.out.values()) pagesOut += 2 ** order;
    if (pagesOut > this.limit) throw new Error(`${pagesOut} pages out, limit ${this.limit}`);
  }
}

test.each([
  { name: "one node", params: {}, nodes: 1 },
  { name: "a limit that bites", params: { limitPages: 700, minPages: 32 }, nodes: 1 },
  { name: "two nodes", params: {}, nodes: 2 },
])("threads on one arena, $name: every page is in one place, whoever frees it", ({ params, nodes }) => {
  fc.assert(
    fc.property(fc.array(command, { minLength: 20, maxLength: 120, size: "max" }), (commands) => {
      const model = new Model(params, nodes);
      const initial = blockCounts(createTestHost({ arenaBytes: nodes * 8 * 2 ** 20, nodes }).pages);
      for (const one of commands) model.run(one);
      model.finish(initial);
    }),
    { seed, numRuns: 40 },
  );
});
