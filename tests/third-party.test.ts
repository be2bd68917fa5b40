import { createHost, idxOf, type NetmemRef, returnNetmemBulk } from "@netmem/core";
import { memTypeSuite, type MemTypeSubject } from "@netmem/core/conformance";
import { createPageAllocator } from "@netmem/mm";
import { providerSuite, type ProviderSubject } from "@netmem/page-pool/conformance";
import { runSuite, type Suite, VirtualClock } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { createScratch, ScratchAllocator } from "./third-party/scratch-type/src/index.ts";
import { StackProvider } from "./third-party/stack-provider/src/index.ts";

/*
 * The packages of other people, from source. `pnpm test:packages` builds and runs them against tarballs.
 */

type Make = typeof createScratch;

function typeSubject(order: number, make: Make = createScratch): MemTypeSubject {
  const host = createHost({ arenaBytes: 8 * 2 ** 20, clock: new VirtualClock(), pageAllocator: createPageAllocator });
  const allocator = make(host, order);
  return { host, memType: allocator.memType, allocator, capacity: allocator.capacity, memAllocator: allocator };
}

function providerSubject(pageCount: number, Provider: typeof StackProvider = StackProvider): ProviderSubject {
  const clock = new VirtualClock();
  const host = createHost({
    arenaBytes: 8 * 2 ** 20,
    clock,
    pageAllocator: createPageAllocator,
    dma: {
      name: "none",
      needsSync: false,
      map: () => 1,
      unmap() {},
      translateMany() {},
      syncForDevice() {},
      syncForCpu() {},
    },
  });
  return {
    host,
    provider: new Provider(host, pageCount),
    capacity: pageCount,
    mapsBuffers: false,
    refused: [{ params: { order: 1 }, code: "ERR_STACK_ORDER" }],
    passTime: (ms) => clock.advance(ms),
  };
}

describe("a memory type with 8 buffers", () => runSuite(memTypeSuite, () => typeSubject(2), test));
describe("a memory type with 512 buffers", () => runSuite(memTypeSuite, () => typeSubject(8), test));
describe("a provider with one page", () => runSuite(providerSuite, () => providerSubject(1), test));
describe("a provider with 300 pages", () => runSuite(providerSuite, () => providerSubject(300), test));

/** Names of the cases that fail. */
async function failures<Subject>(suite: Suite<Subject>, make: () => Subject): Promise<string[]> {
  const failed: string[] = [];
  for (const one of suite.cases) {
    try {
      await one.run(make());
    } catch {
      failed.push(one.name);
    }
  }
  return failed;
}

/** `createScratch` with another class. */
function madeOf(Allocator: typeof ScratchAllocator, name = "scratch"): Make {
  return (host, order) => {
    const allocator = new Allocator(host, order);
    host.memTypes.install({ type: allocator.memType, name: "scratch", drain: () => {} });
    return Object.assign(allocator, { name });
  };
}

class Forgetful extends ScratchAllocator {
  private returns = 0;
  override returnSlow(ref: NetmemRef): void {
    if (this.returns++ % 10 === 9) this.host.i32[idxOf(ref)] = 0;
    else super.returnSlow(ref);
  }
}

class Greedy extends ScratchAllocator {
  private last: NetmemRef | 0 = 0;
  override allocNetmem(): NetmemRef | 0 {
    if (this.last !== 0 && this.outCount === 3) return this.last;
    return (this.last = super.allocNetmem());
  }
}

/** Looks at nobody but the caller. */
class Selfish extends ScratchAllocator {
  override returnSlow(ref: NetmemRef): void {
    this.host.i32[this.host.ppRefAt + idxOf(ref)] = 0;
    super.returnSlow(ref);
  }
}

class Trusting extends ScratchAllocator {
  override put(ref: NetmemRef): void {
    this.keep(this.arm(ref));
  }
}

class Overlapping extends ScratchAllocator {
  override allocNetmem(): NetmemRef | 0 {
    Object.assign(this.area, { baseOffset: this.area.baseOffset });
    const { areas } = this.host;
    areas.offsetOf = () => this.area.baseOffset!;
    return super.allocNetmem();
  }
}

test.each([
  [
    "loses every tenth buffer that comes by the slow path",
    Forgetful,
    "takes buffers home by every way of returning one",
  ],
  ["hands a buffer out twice", Greedy, "hands out live buffers of its type, each once"],
  ["forgets other holders", Selfish, "keeps a buffer until its last holder returned it"],
  ["takes anything back", Trusting, "refuses a second return, and loses nothing by it"],
  ["has buffers that overlap", Overlapping, "keeps the bytes of its buffers apart, or hands none out"],
] as const)("the suite notices a memory type that %s", async (_mistake, Allocator, name) => {
  expect(await failures(memTypeSuite, () => typeSubject(4, madeOf(Allocator)))).toContain(name);
});

test("the suite notices a memory type without a model", async () => {
  const make: Make = (host, order) => new ScratchAllocator(host, order);
  expect(await failures(memTypeSuite, () => typeSubject(4, make))).toContain("is installed under its number and name");
});

class Hoarder extends StackProvider {
  override releaseNetmem(): boolean {
    return false;
  }
}

test("the suite notices a provider that does not take buffers back", async () => {
  expect((await failures(providerSuite, () => providerSubject(300, Hoarder))).length).toBeGreaterThan(0);
});

test("a batch of more buffers than the return stack takes", () => {
  const { host, allocator, capacity } = typeSubject(8);
  const refs = new Int32Array(capacity);
  expect(allocator.allocBulk(refs, capacity)).toBe(capacity);
  returnNetmemBulk(host, refs, capacity);
  expect(allocator.allocBulk(refs, capacity)).toBe(capacity);
});
