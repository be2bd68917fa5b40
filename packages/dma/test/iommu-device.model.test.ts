import { DmaDir, type Host, type PageRef } from "@netmem/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createIommuDevice, type IommuDevice } from "../src/index.ts";
import { createTestHost, takePage } from "./test-host.ts";

interface Mapping {
  readonly pfn: number;
  readonly order: number;
  readonly dir: DmaDir;
  readonly offset: number;
  readonly isHuge: boolean;
}

/** The IOTLB by its definition: a list of pages, the one used last in front. */
class LruList {
  pages: number[] = [];
  hits = 0;
  misses = 0;
  evictions = 0;
  invalidations = 0;
  private readonly entries: number;

  constructor(entries: number) {
    this.entries = entries;
  }

  use(page: number): void {
    if (this.pages.includes(page)) this.hits++;
    else this.misses++;
    this.pages = [page, ...this.pages.filter((one) => one !== page)];
    this.evictions += this.pages.splice(this.entries).length;
  }

  drop(page: number): void {
    if (!this.pages.includes(page)) return;
    this.pages = this.pages.filter((one) => one !== page);
    this.invalidations++;
  }
}

interface Setup {
  readonly pageShift: number;
  readonly entries: number;
  readonly ioPages: number;
  readonly hugeMappings: boolean;
}

/** Device and model side by side; every answer and every counter is compared. */
class Pair {
  readonly device: IommuDevice;
  private readonly host: Host;
  private readonly setup: Setup;
  private readonly lru: LruList;
  private readonly live: Mapping[] = [];
  private readonly used: number[] = [];
  private readonly refs: PageRef[];
  private readonly hugeOrder: number;
  private refused = 0;
  private faults = 0;

  constructor(setup: Setup) {
    this.host = createTestHost({ pageShift: setup.pageShift }).host;
    this.device = createIommuDevice(this.host, {
      iotlbEntries: setup.entries,
      ioPages: setup.ioPages,
      hugeMappings: setup.hugeMappings,
    });
    this.setup = setup;
    this.lru = new LruList(setup.entries);
    this.hugeOrder = 21 - setup.pageShift;
    this.refs = [0, 1, 2, 3, this.hugeOrder, this.hugeOrder + 1].map((order) => takePage(this.host, order));
  }

  map(which: number, dir: DmaDir): void {
    const order = [0, 0, 0, 1, 2, 3, this.hugeOrder, this.hugeOrder + 1][which]!;
    const ref = this.refs[[0, 0, 0, 1, 2, 3, 4, 5][which]!]!;
    const pfn = this.device.map(ref, order, dir);
    if (pfn === 0) {
      expect(this.hasRoom(order)).toBe(false);
      this.refused++;
      return;
    }
    const size = 2 ** order;
    expect(pfn % size).toBe(0);
    expect(pfn >= 1 && pfn + size <= this.setup.ioPages && this.isFree(pfn, size)).toBe(true);
    const isHuge = this.setup.hugeMappings && order >= this.hugeOrder;
    this.live.push({ pfn, order, dir, offset: this.host.offsetOf(ref), isHuge });
    this.used.push(pfn, pfn + size - 1);
  }

  unmap(pick: number): void {
    const [mapping] = this.live.splice(pick % Math.max(this.live.length, 1), 1);
    if (mapping === undefined) return;
    this.device.unmap(mapping.pfn, mapping.order, mapping.dir);
    for (let n = 0; n < 2 ** mapping.order; n++) this.lru.drop(mapping.pfn + n);
  }

  /** A burst of addresses that are, were or never have been mapped. */
  translate(picks: readonly number[]): void {
    const pfns = picks.map((pick) => this.addressFor(pick));
    const burst = Int32Array.from([...pfns, 77]);
    this.device.translateMany(burst, pfns.length);
    expect([...burst]).toEqual([...pfns.map((pfn) => this.walk(pfn)), 77]);
  }

  check(): void {
    const { hits, misses, evictions, invalidations, pages } = this.lru;
    const { faults, refused, live } = this;
    const mappedPages = live.reduce((sum, { order }) => sum + 2 ** order, 0);
    const wanted = { hits, misses, evictions, invalidations, faults, refused, mapped: live.length, mappedPages };
    expect(this.device.stats()).toEqual(wanted);
    expect(this.device.iotlbPages()).toEqual(pages);
  }

  private addressFor(pick: number): number {
    const special = [0, -1, this.setup.ioPages, 0x7fffffff, -0x80000000, this.setup.ioPages - 1];
    if (pick % 16 === 0) return special[(pick >>> 4) % special.length]!;
    const mapping = this.live[(pick >>> 4) % Math.max(this.live.length, 1)];
    if (mapping === undefined || pick % 16 === 1) return this.used[(pick >>> 4) % Math.max(this.used.length, 1)] ?? 5;
    return mapping.pfn + ((pick >>> 10) % 2 ** mapping.order);
  }

  private walk(pfn: number): number {
    const mapping = this.live.find((one) => pfn >= one.pfn && pfn < one.pfn + 2 ** one.order);
    if (mapping === undefined) {
      this.faults++;
      return -1;
    }
    this.lru.use(mapping.isHuge ? pfn - (pfn % 2 ** this.hugeOrder) : pfn);
    return mapping.offset + (pfn - mapping.pfn) * 2 ** this.setup.pageShift;
  }

  private isFree(pfn: number, size: number): boolean {
    return this.live.every((one) => pfn + size <= one.pfn || pfn >= one.pfn + 2 ** one.order);
  }

  private hasRoom(order: number): boolean {
    const size = 2 ** order;
    for (let pfn = size; pfn + size <= this.setup.ioPages; pfn += size) if (this.isFree(pfn, size)) return true;
    return false;
  }
}

const dir = fc.constantFrom(DmaDir.Bidirectional, DmaDir.ToDevice, DmaDir.FromDevice);
const pick = fc.nat(2 ** 20);
const command = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("map" as const), which: fc.nat(7), dir }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("unmap" as const), pick }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("translate" as const), picks: fc.array(pick, { maxLength: 40 }) }),
  },
);

function runModel(setups: fc.Arbitrary<Setup>, seed: number): Record<string, number> {
  const seen: Record<string, number> = {};
  fc.assert(
    fc.property(setups, fc.array(command, { maxLength: 150, size: "max" }), (setup, commands) => {
      const pair = new Pair(setup);
      for (const command of commands) {
        if (command.kind === "map") pair.map(command.which, command.dir);
        else if (command.kind === "unmap") pair.unmap(command.pick);
        else pair.translate(command.picks);
        pair.check();
      }
      for (const [name, count] of Object.entries(pair.device.stats())) seen[name] = (seen[name] ?? 0) + count;
    }),
    { seed, numRuns: 120 },
  );
  return seen;
}

const entries = fc.constantFrom(1, 2, 3, 8, 64);
const hugeMappings = fc.boolean();

test("translations, IOTLB and counters are those of a naive model, pages of 4 KiB", () => {
  const ioPages = fc.constantFrom(2, 40, 511, 2048, 8192);
  const seen = runModel(fc.record({ pageShift: fc.constant(12), entries, ioPages, hugeMappings }), 20260301);
  for (const name of ["hits", "misses", "evictions", "invalidations", "faults", "refused"]) {
    expect(seen[name], name).toBeGreaterThan(100);
  }
});

test("translations, IOTLB and counters are those of a naive model, pages of 64 KiB", () => {
  const ioPages = fc.constantFrom(64, 100, 1024);
  const seen = runModel(fc.record({ pageShift: fc.constant(16), entries, ioPages, hugeMappings }), 20260302);
  for (const name of ["hits", "misses", "evictions", "invalidations", "faults", "refused"]) {
    expect(seen[name], name).toBeGreaterThan(100);
  }
});
