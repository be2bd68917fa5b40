import { test } from "node:test";
import { createHost, type Host } from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { createPagePool, PagePoolFlag } from "@netmem/page-pool";
import { providerSuite, type ProviderSubject } from "@netmem/page-pool/conformance";
import { checkEqual, runSuite, VirtualClock } from "@netmem/testing";
import { StackProvider } from "../src/index.js";

function makeSubject(pageCount: number): ProviderSubject {
  const clock = new VirtualClock();
  const host: Host = createHost({
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
    provider: new StackProvider(host, pageCount),
    capacity: pageCount,
    mapsBuffers: false,
    refused: [{ params: { order: 1 }, code: "ERR_STACK_ORDER" }],
    passTime: (ms) => clock.advance(ms),
  };
}

for (const count of [1, 300])
  runSuite(
    providerSuite,
    () => makeSubject(count),
    (name, run) => test(`${name} (${count} pages)`, run),
  );

void test("a pool behind it takes its pages and brings them back", () => {
  const subject = makeSubject(100);
  const { host, provider } = subject;
  const stack = provider as StackProvider;
  host.providers.register(stack);
  const rxq = { ifindex: 1, queueIdx: 0, provider };
  const flags = PagePoolFlag.AllowUnreadableNetmem | PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev;
  const pool = createPagePool(host, { flags, rxq, maxLenBytes: 4096 });
  const pages = Array.from({ length: 70 }, () => pool.allocPages());
  checkEqual([pages.includes(0), stack.idleCount], [false, 0], "exhausted, idle pages");
  for (const page of pages) if (page !== 0) pool.putFullPage(page);
  pool.destroy();
  subject.passTime(5000);
  checkEqual([host.pools.list().length, stack.idleCount], [0, 100], "pools, idle pages");
});
