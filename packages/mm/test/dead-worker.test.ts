import { asPageRef, idxOf, lockHolder, type PageRef } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { LOCK } from "../src/allocator-words.ts";
import { PageOrder0 } from "../src/index.ts";
import { asMortal, createMortalHost, type MortalHost } from "./mortal-host.ts";
import {
  attachBare,
  attachTestHost,
  audit,
  createTestHost,
  expectRefused,
  scanOut,
  type TestHost,
} from "./test-host.ts";

/** A creator and a bystander who live, and a worker that does not. */
interface Scene {
  readonly creator: TestHost;
  readonly victimId: number;
  readonly victim: PageOrder0;
  readonly mortal: MortalHost;
  /** What the victim holds. */
  readonly held: PageRef[];
  readonly held3: PageRef[];
  /** Pages of the living; nothing may happen to them. */
  readonly foreign: readonly PageRef[];
  /** Scratch of its bulk calls. */
  readonly refs: Int32Array;
}

interface Operation {
  readonly name: string;
  /** Gets the victim into a state, before its death is due. */
  readonly before?: (scene: Scene) => void;
  readonly run: (scene: Scene) => void;
  /** With so many nodes, what is in the array of a bulk call that never returned is lost. */
  readonly losesFrom?: number;
}

function take(pages: PageOrder0, count: number, order = 0): PageRef[] {
  return Array.from({ length: count }, () => asPageRef(pages.allocPages(order)));
}

function createScene(nodes: number): Scene {
  const creator = createTestHost({ arenaBytes: nodes * 8 * 2 ** 20, nodes });
  const bystander = attachTestHost(creator);
  // Holes, so that blocks split and merge in all ways.
  const holes = take(creator.pages, 120);
  const foreign = holes.filter((_, n) => n % 3 === 0);
  for (const ref of holes) if (!foreign.includes(ref)) bystander.pages.freePage(ref);
  creator.pages.drainList();
  bystander.pages.drainList();
  foreign.push(...take(bystander.pages, 3), ...take(creator.pages, 2, 4));
  const idle = attachBare(creator);
  const mortal = createMortalHost(idle);
  let victim: PageOrder0 | undefined;
  asMortal(() => (victim = new PageOrder0(mortal.host)));
  if (victim === undefined) throw new Error("the victim was not born");
  const held: PageRef[] = [];
  const held3: PageRef[] = [];
  const { workerId: victimId } = idle;
  const scene = { creator: { ...creator, others: [bystander] }, victimId, victim, mortal, held, held3, foreign };
  return { ...scene, refs: new Int32Array(200) };
}

const operations: readonly Operation[] = [
  {
    name: "a page from the list",
    before: ({ victim, held }) => held.push(...take(victim, 1)),
    run: ({ victim }) => victim.allocPages(0),
  },
  { name: "a refill", run: ({ victim }) => victim.allocPages(0) },
  { name: "a block", run: ({ victim }) => victim.allocPages(3) },
  { name: "the largest block there is", run: ({ victim }) => victim.allocPages(9) },
  {
    name: "a bulk from the list",
    before: ({ victim, held }) => held.push(...take(victim, 1)),
    run: ({ victim, refs }) => victim.allocBulk(refs, 60),
    losesFrom: 2,
  },
  { name: "a bulk from the blocks", run: ({ victim, refs }) => victim.allocBulk(refs, 75), losesFrom: 1 },
  {
    name: "a page to the list",
    before: ({ victim, held }) => held.push(...take(victim, 3)),
    run: ({ victim, held }) => victim.freePage(held[1]!),
  },
  {
    name: "a page to a full list",
    before: ({ victim, held }) => {
      held.push(...take(victim, 300));
      for (let n = 0; victim.listedCount() < 128; n++) victim.freePage(held.shift()!);
    },
    run: ({ victim, held }) => victim.freePage(held[0]!),
  },
  {
    name: "blocks that merge",
    before: ({ victim, held3 }) => held3.push(...take(victim, 4, 3)),
    run: ({ victim, held3 }) => {
      for (const ref of held3) victim.freePage(ref);
    },
  },
  {
    name: "emptying the list",
    before: ({ victim, held }) => {
      held.push(...take(victim, 100));
      for (const ref of held.splice(0, 90)) victim.freePage(ref);
    },
    run: ({ victim }) => victim.drainList(),
  },
  {
    name: "a block that only the list prevents",
    before: ({ victim, held }) => {
      held.push(...take(victim, 64));
      while (victim.allocPages(5) !== 0);
      for (const ref of held.splice(0)) victim.freePage(ref);
    },
    run: ({ victim }) => victim.allocPages(5),
  },
  {
    name: "leaving",
    before: ({ victim, held }) => held.push(...take(victim, 10)),
    run: ({ victim }) => victim.detach(),
  },
];

/** Stores that the operation makes in a long life. */
function countStores(operation: Operation, nodes: number): number {
  const scene = createScene(nodes);
  asMortal(() => operation.before?.(scene));
  scene.mortal.fuse = 1_000_000;
  if (!asMortal(() => operation.run(scene))) throw new Error(`${operation.name} has no end`);
  return 1_000_000 - scene.mortal.fuse;
}

/** All of them, or so many that the test stays short: the loops repeat themselves. The last ones are always there. */
function sample(stores: number): number[] {
  const stride = Math.ceil(stores / 60);
  const all = Array.from({ length: stores }, (_, store) => store);
  return all.filter((store) => store % stride === 0 || store > stores - 20);
}

/** Lets the victim die before the store of that number, takes back what it left, and returns how many pages are lost. */
function die(operation: Operation, store: number, nodes: number): number {
  const scene = createScene(nodes);
  const { creator, victimId, mortal, held, held3, foreign } = scene;
  asMortal(() => operation.before?.(scene));
  const before = new Set(scanOut(creator).keys());
  mortal.fuse = store;
  if (asMortal(() => operation.run(scene))) throw new Error(`survived store ${store}`);
  expect(creator.pages.reclaimWorker(victimId).workerId).toBe(victimId);
  const out = scanOut(creator);
  audit(creator, out);
  expect(lockHolder(creator.host.i32, creator.host.layout.allocatorAt + LOCK)).toBe(-1);
  for (const ref of foreign) expect(out.has(idxOf(ref)), `page ${idxOf(ref)} of the living`).toBe(true);
  const nothing = { workerId: victimId, heldLock: false, movingPages: 0, listedPages: 0 };
  expect(creator.pages.reclaimWorker(victimId)).toEqual(nothing);
  const lost = [...out.keys()].filter((idx) => !before.has(idx)).length;
  // What it was not giving back is still out, and goes home like any page.
  const kept = [...held, ...held3].filter((ref) => out.has(idxOf(ref)));
  for (const ref of [...kept, ...foreign]) creator.pages.freePage(ref);
  return lost;
}

describe.each([1, 2])("a worker of a host with %i node(s) dies before any store of", (nodes) => {
  test.each(operations)("$name: every page is in one place afterwards", (operation) => {
    const stores = countStores(operation, nodes);
    const lost = sample(stores).map((store) => die(operation, store, nodes));
    const most = Math.max(...lost);
    console.log(
      `${operation.name}, ${nodes} node(s): ${lost.length} deaths in ${stores} stores, at most ${most} pages lost`,
    );
    const isBulk = nodes >= (operation.losesFrom ?? Infinity);
    expect(most > 0, lost.join()).toBe(isBulk);
  });
});

test("nobody reclaims itself, or what is no worker", () => {
  const creator = createTestHost();
  const { pages } = attachTestHost(creator);
  expectRefused(creator.host, "ERR_NETMEM_INVALID_PARAM", () => creator.pages.reclaimWorker(0));
  expectRefused(creator.host, "ERR_NETMEM_INVALID_PARAM", () => creator.pages.reclaimWorker(-1));
  expectRefused(creator.host, "ERR_NETMEM_INVALID_PARAM", () => creator.pages.reclaimWorker(32));
  expectRefused(creator.host, "ERR_NETMEM_INVALID_PARAM", () => pages.reclaimWorker(1));
});

test("what a worker has on its list when it dies between two calls comes home", () => {
  const creator = createTestHost();
  const { host, pages } = attachTestHost(creator);
  const page = asPageRef(pages.allocPages(0));
  expect(pages.listedCount()).toBe(63);
  expect(creator.pages.freePageCount()).toBe(creator.pages.totalPageCount - 1);
  const report = creator.pages.reclaimWorker(host.workerId);
  expect(report).toEqual({ workerId: host.workerId, heldLock: false, movingPages: 0, listedPages: 63 });
  creator.pages.freePage(page);
  creator.pages.drainList();
  audit(creator, new Map());
});
