import { closeSync, ftruncateSync, readSync } from "node:fs";
import fc from "fast-check";
import { expect } from "vitest";
import { type ArenaMap, type ArenaPin, type ArenaWindow, openArenaMap, readMemoryRegions } from "../src/index.ts";
import { createMemoryFile } from "../src/virtual-memory.ts";
import { linuxTest } from "./linux-needs.ts";
import { createTestHost, type TestHost } from "./test-pages.ts";

const PAGE = 4096;
const FILE_PAGES = 64;
const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);

interface Step {
  readonly kind: "map" | "unmap" | "pin" | "unpin" | "write" | "refused";
  readonly a: number;
  readonly b: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("map", "map", "unmap", "pin", "unpin", "write", "refused"),
  a: fc.nat(1023),
  b: fc.nat(1023),
});

/** Runs the steps and, after each, compares the arena with the files and the books. */
class Model {
  private readonly windows = new Map<ArenaWindow, { readonly fileOffset: number; readonly pages: number }>();
  private readonly pins: ArenaPin[] = [];
  /** Pages that wait for pins, by first byte. */
  private readonly waiting = new Map<number, number>();
  private readonly freePages: number;
  private readonly test: TestHost;
  private readonly map: ArenaMap;
  private readonly fd: number;

  constructor(test: TestHost, map: ArenaMap, fd: number) {
    this.test = test;
    this.map = map;
    this.fd = fd;
    this.freePages = test.pages.freePageCount();
  }

  run({ kind, a, b }: Step): void {
    if (kind === "map") this.mapWindow(a, b);
    if (kind === "unmap") this.unmap(a);
    if (kind === "pin") this.pin(a, b);
    if (kind === "unpin") this.unpin(a);
    if (kind === "write") this.write(a, b);
    if (kind === "refused")
      expect(() => this.map.mapFile({ fd: -1, bytes: PAGE * (1 + (a % 8)), name: "refused" })).toThrow();
    this.check();
  }

  finish(): void {
    for (const window of this.map.windows()) this.map.unmap(window);
    for (const pin of this.pins) this.map.unpin(pin);
    expect(this.test.pages.freePageCount()).toBe(this.freePages);
    const end = this.map.baseAddress + this.test.host.layout.arenaBytes;
    expect(readMemoryRegions(this.map.baseAddress, end)).toHaveLength(1);
  }

  private mapWindow(a: number, b: number): void {
    const pages = 1 + (a % 12);
    const fileOffset = (b % (FILE_PAGES - 12)) * PAGE;
    const window = this.map.mapFile({ fd: this.fd, fileOffset, bytes: pages * PAGE - (b % 100), name: `window ${b}` });
    this.windows.set(window, { fileOffset, pages });
  }

  private unmap(a: number): void {
    const window = [...this.windows.keys()][a % Math.max(1, this.windows.size)];
    if (window === undefined) return;
    const { pages } = this.windows.get(window)!;
    this.map.unmap(window);
    this.windows.delete(window);
    if (this.pins.some((pin) => overlaps(pin, window))) this.waiting.set(window.offset, pages);
  }

  private pin(a: number, b: number): void {
    const { firstPageIdx, pageCount } = this.test.host.layout;
    const from = firstPageIdx + (a % (pageCount - firstPageIdx));
    const pages = 1 + (b % (pageCount - from));
    this.pins.push(this.map.pin(`pin ${a}`, from * PAGE, pages * PAGE));
  }

  private unpin(a: number): void {
    const [pin] = this.pins.splice(a % Math.max(1, this.pins.length), 1);
    if (pin === undefined) return;
    this.map.unpin(pin);
    for (const [offset, pages] of this.waiting) {
      if (!this.pins.some((one) => overlaps(one, { offset, bytes: pages * PAGE }))) this.waiting.delete(offset);
    }
  }

  private write(a: number, b: number): void {
    const window = [...this.windows.keys()][a % Math.max(1, this.windows.size)];
    if (window !== undefined) this.test.host.u8[window.offset + ((b * 37) % window.bytes)] = b & 0xff;
  }

  private check(): void {
    const { host, pages } = this.test;
    const file = new Uint8Array(FILE_PAGES * PAGE);
    readSync(this.fd, file, 0, file.length, 0);
    const inUse = [...this.windows.values()].map((one) => blockPages(one.pages));
    const waiting = [...this.waiting.values()].map(blockPages);
    expect(pages.freePageCount()).toBe(this.freePages - [...inUse, ...waiting].reduce((sum, n) => sum + n, 0));
    for (const [window, { fileOffset }] of this.windows) {
      const seen = Buffer.from(host.u8.slice(window.offset, window.offset + window.bytes));
      expect(seen.equals(file.subarray(fileOffset, fileOffset + window.bytes))).toBe(true);
    }
    expect(this.map.windows()).toHaveLength(this.windows.size);
  }
}

/** Pages of the block that holds so many. */
const blockPages = (pages: number): number => 2 ** Math.ceil(Math.log2(pages));

function overlaps(pin: ArenaPin, range: { readonly offset: number; readonly bytes: number }): boolean {
  return pin.offset < range.offset + range.bytes && range.offset < pin.offset + pin.bytes;
}

linuxTest(
  `windows and pins in any order: bytes are the file's, no page is lost (NETMEM_SEED=${seed})`,
  [],
  (system) => {
    const property = fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => {
      const test = createTestHost();
      const fd = createMemoryFile(system, "netmem-model");
      ftruncateSync(fd, FILE_PAGES * PAGE);
      try {
        const model = new Model(test, openArenaMap(system, test.host), fd);
        for (const one of steps) model.run(one);
        model.finish();
      } finally {
        closeSync(fd);
      }
    });
    fc.assert(property, { seed, numRuns: 25 });
  },
);
