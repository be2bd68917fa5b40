import { asNetmemRef, type NetmemRef, ppRefCount, returnNetmem } from "@netmem/core";
import { describe, expect, test } from "vitest";
import { createDevmem, createDevmemAllocator, type DevmemAllocator, type DevmemBinding } from "../src/index.ts";
import { makeWorld, PAGE, type World } from "./fixture.ts";
import { SlowMemory } from "./slow-memory.ts";

interface Slow extends World {
  readonly memory: SlowMemory;
  readonly binding: DevmemBinding;
  readonly allocator: DevmemAllocator;
  /** A page, and its number for the NIC. */
  readonly alloc: () => { ref: NetmemRef; page: number };
}

function makeSlow(alignBytes = 1): Slow {
  const world = makeWorld();
  const memory = new SlowMemory(64, alignBytes);
  const binding = createDevmem(world.host).bindRx({ device: world.device, queues: [0], memory });
  const allocator = createDevmemAllocator(world.host, binding);
  const alloc = (): { ref: NetmemRef; page: number } => {
    const ref = allocator.allocNetmem() as NetmemRef;
    return { ref, page: binding.pages.ordinalOf(ref) };
  };
  return { ...world, memory, binding, allocator, alloc };
}

const payload = Uint8Array.from({ length: 8192 }, (_, n) => n & 0xff);
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("landing zone", () => {
  test("pages in a row are landed by one commit", async () => {
    const { binding, memory, alloc } = makeSlow();
    for (let n = 0; n < 5; n++) expect(binding.landing.write(alloc().page, 0, payload, n, 1448)).toBe(true);
    await settle();
    expect(memory.commits.map(({ offset, length }) => [offset, length])).toEqual([[0, 4 * PAGE + 1448]]);
    memory.commits[0]!.land();
    await binding.landing.settled();
    for (let n = 0; n < 5; n++) expect(memory.bytes[n * PAGE + 1447]).toBe((n + 1447) & 0xff);
  });

  test("a page that does not follow begins another landing", () => {
    const { binding, memory, alloc } = makeSlow();
    const pages = [alloc(), alloc(), alloc()].map(({ page }) => page);
    binding.landing.write(pages[2]!, 0, payload, 0, 100);
    binding.landing.write(pages[0]!, 0, payload, 0, 100);
    binding.landing.flush();
    expect(memory.commits.map(({ offset }) => offset)).toEqual([2 * PAGE, 0]);
  });

  test("fragments of one page land in any number of landings, and none covers an earlier one", async () => {
    const { binding, memory, alloc } = makeSlow();
    const { page } = alloc();
    binding.landing.write(page, 0, payload, 1, 1000);
    binding.landing.flush();
    binding.landing.write(page, 2048, payload, 2, 1000);
    binding.landing.flush();
    for (const { land } of memory.commits) land();
    await binding.landing.settled();
    expect([memory.bytes[0], memory.bytes[999], memory.bytes[2048], memory.bytes[3047]]).toEqual([
      1,
      1000 & 0xff,
      2,
      1001 & 0xff,
    ]);
    expect(memory.commits[1]!.offset).toBe(2048);
  });

  test("a landing holds its page until it is committed, whatever becomes of the packet", async () => {
    const { host, binding, memory, allocator, alloc } = makeSlow();
    const { ref, page } = alloc();
    binding.landing.write(page, 0, payload, 0, 1500);
    expect(ppRefCount(host, ref)).toBe(2);
    returnNetmem(host, ref);
    expect([allocator.inflight(), binding.landing.isLanding(ref)]).toEqual([1, true]);
    memory.commits[0]!.land();
    await binding.landing.settled();
    expect([allocator.inflight(), binding.landing.isLanding(ref)]).toEqual([0, false]);
    expect(() => returnNetmem(host, ref)).toThrow("ERR_NETMEM_DOUBLE_PUT");
  });

  test("no page is given out under a landing", async () => {
    const { host, binding, memory, allocator, alloc } = makeSlow();
    const all = Array.from({ length: 64 }, alloc);
    binding.landing.write(all[5]!.page, 0, payload, 0, 100);
    for (const { ref } of all) returnNetmem(host, ref);
    const again = Array.from({ length: 64 }, () => allocator.allocNetmem());
    expect(again.filter((ref) => ref === 0).length).toBe(1);
    binding.landing.flush();
    memory.commits[0]!.land();
    await binding.landing.settled();
    expect(allocator.allocNetmem()).not.toBe(0);
  });

  test("without staging a write is refused and holds nothing", () => {
    const { host, binding, memory, alloc } = makeSlow();
    memory.staging = 0;
    const { ref, page } = alloc();
    expect(binding.landing.write(page, 0, payload, 0, 100)).toBe(false);
    expect([ppRefCount(host, ref), binding.landing.stats().noStaging]).toEqual([1, 1]);
  });

  test("memory that throws, or takes its staging away, loses packets and nothing else", async () => {
    const { host, binding, memory, warnings, alloc } = makeSlow();
    const [a, b] = [alloc(), alloc()];
    const begin = memory.beginLanding.bind(memory);
    memory.beginLanding = () => {
      throw new Error("device lost");
    };
    expect(binding.landing.write(a.page, 0, payload, 0, 100)).toBe(false);
    expect([ppRefCount(host, a.ref), warnings[0]?.code]).toEqual([1, "WARN_NETMEM_LANDING_FAILED"]);
    const staging: ArrayBuffer[] = [];
    memory.beginLanding = (offset, lengthBytes) => {
      const landing = begin(offset, lengthBytes);
      if (landing !== null) staging.push(landing.bytes.buffer as ArrayBuffer);
      return landing;
    };
    expect(binding.landing.write(a.page, 0, payload, 0, 100)).toBe(true);
    structuredClone(staging[0], { transfer: [staging[0]!] });
    expect(binding.landing.write(b.page, 0, payload, 0, 100)).toBe(true);
    binding.landing.flush();
    expect([staging.length, memory.commits.length]).toEqual([2, 2]);
    memory.commits[0]!.fail();
    memory.commits[1]!.land();
    await binding.landing.settled();
    expect([binding.landing.hasFailed(a.ref), binding.landing.hasFailed(b.ref)]).toEqual([true, false]);
  });

  test("a landing that fails marks the buffer, not its page for ever", async () => {
    const { host, binding, memory, allocator, alloc } = makeSlow();
    const { ref, page } = alloc();
    binding.landing.write(page, 0, payload, 0, 100);
    binding.landing.flush();
    memory.commits[0]!.fail();
    await binding.landing.settled();
    expect([binding.landing.hasFailed(ref), binding.landing.stats().failed]).toEqual([true, 1]);
    returnNetmem(host, ref);
    const next = allocator.allocNetmem() as NetmemRef;
    expect(binding.pages.ordinalOf(next)).toBe(page);
    expect(binding.landing.hasFailed(next)).toBe(false);
  });

  test("a landing that failed is none of the buffer that comes round with the same generation", async () => {
    const GENERATIONS = 512;
    const { host, binding, memory, alloc } = makeSlow();
    const write = async (outcome: "land" | "fail"): Promise<NetmemRef> => {
      const { ref, page } = alloc();
      binding.landing.write(page, 0, payload, 0, 100);
      binding.landing.flush();
      memory.commits.splice(0)[0]![outcome]();
      await binding.landing.settled();
      return ref;
    };
    const first = await write("fail");
    expect(binding.landing.hasFailed(first)).toBe(true);
    returnNetmem(host, first);
    for (let n = 1; n < GENERATIONS; n++) returnNetmem(host, await write("land"));
    const again = await write("land");
    expect([again, binding.landing.hasFailed(again)]).toEqual([first, false]);
  });

  test("a landing covers nothing of its next page that landed before", async () => {
    const { binding, memory, alloc } = makeSlow();
    const [other, shared] = [alloc().page, alloc().page];
    binding.landing.write(shared, 0, payload, 1, 2048);
    // Another queue's buffer; then the second half of the first one's.
    binding.landing.write(other, 0, payload, 2, PAGE);
    binding.landing.write(shared, 2048, payload, 3, 2048);
    binding.landing.flush();
    for (const { land } of memory.commits) land();
    await binding.landing.settled();
    const at = shared * PAGE;
    expect([other + 1, memory.bytes[at], memory.bytes[at + 2047], memory.bytes[at + 2048]]).toEqual([
      shared,
      1,
      2048 & 0xff,
      3,
    ]);
  });

  test("pages that leave room in front of their bytes are landed by one commit too", () => {
    const { binding, memory, alloc } = makeSlow();
    for (let n = 0; n < 3; n++) binding.landing.write(alloc().page, 64, payload, n, 1448);
    binding.landing.flush();
    expect(memory.commits.map(({ offset, length }) => [offset, length])).toEqual([[64, 2 * PAGE + 1448]]);
  });

  test("bad input: pages that nobody has, ranges that leave a page, offsets that are not aligned", () => {
    const { binding, memory, alloc } = makeSlow(4);
    const { ref, page } = alloc();
    const { landing } = binding;
    const bad = [
      landing.write(page + 1, 0, payload, 0, 100),
      landing.write(9999, 0, payload, 0, 100),
      landing.write(-1, 0, payload, 0, 100),
      landing.write(page, PAGE - 10, payload, 0, 11),
      landing.write(page, -4, payload, 0, 4),
      landing.write(page, 2, payload, 0, 4),
    ];
    expect(bad).toEqual([false, false, false, false, false, false]);
    expect(landing.stats()).toMatchObject({ stray: 5, misaligned: 1, commits: 0 });
    expect(landing.write(page, PAGE - 4, payload, 0, 4)).toBe(true);
    expect(memory.commits.length).toBe(0);
    expect(landing.isLanding(ref)).toBe(true);
    expect(landing.isLanding(asNetmemRef(3))).toBe(false);
  });

  test("somebody who returns the landing's reference is named, and nothing breaks", async () => {
    const { host, warnings, binding, memory, alloc } = makeSlow();
    const { ref, page } = alloc();
    binding.landing.write(page, 0, payload, 0, 100);
    binding.landing.flush();
    returnNetmem(host, ref);
    returnNetmem(host, ref);
    memory.commits[0]!.land();
    await binding.landing.settled();
    expect(warnings.map(({ code }) => code)).toEqual(["WARN_NETMEM_LANDING_REF"]);
  });
});
