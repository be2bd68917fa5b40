import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { createMemory, idxOf, MemType, META_SHARED, pageRefCount, ppRefCount } from "../src/index.ts";
import type { ThreadInput, ThreadReport } from "./attached-thread.ts";
import { createCoreHost, FakeOwner, snapshot, takePage } from "./core-host.ts";

function start(workerData: ThreadInput): Worker {
  return new Worker(new URL("./attached-thread.ts", import.meta.url), { workerData });
}

test("another thread sees the same bytes and references, may share them, and may not return them", async () => {
  const subject = createCoreHost();
  const { host } = subject;
  const owner = new FakeOwner(host, MemType.PagePool, 8);
  const page = owner.handOut(takePage(subject));
  const plain = takePage(subject);
  host.u8[host.offsetOf(page)] = 42;
  const shared = host.share();
  const before = snapshot(host);
  const [message] = (await once(start({ shared, page, plain }), "message")) as [ThreadReport];
  expect(message).toEqual({
    pageCount: host.layout.pageCount,
    byteFound: 42,
    holders: 2,
    codes: {
      returnNetmem: "ERR_NETMEM_WRONG_THREAD",
      returnNetmemBulk: "ERR_NETMEM_WRONG_THREAD",
      staleReturn: "ERR_NETMEM_WRONG_THREAD",
      lastPut: "ERR_NETMEM_WRONG_THREAD",
      allocPages: "ERR_NETMEM_WRONG_THREAD",
      freePage: "ERR_NETMEM_WRONG_THREAD",
      allocWords: "ERR_NETMEM_WRONG_THREAD",
      claim: "ERR_NETMEM_WRONG_THREAD",
      addArea: "ERR_NETMEM_WRONG_THREAD",
    },
  });
  expect(host.u8[host.offsetOf(page) + 1]).toBe(43);
  expect([pageRefCount(host, page), ppRefCount(host, page)]).toEqual([2, 2]);
  const idx = idxOf(page);
  const touched = [idx, host.ppRefAt + idx, host.pageRefAt + idx];
  expect((host.i32[idx]! & META_SHARED) !== 0).toBe(true);
  expect(snapshot(host).findIndex((word, at) => word !== before[at] && !touched.includes(at))).toBe(-1);
});

test("a thread that is posted some other memory is told so", async () => {
  const subject = createCoreHost();
  const page = takePage(subject);
  const shared = { memory: createMemory(4 * 2 ** 20) };
  const [error] = (await once(start({ shared, page, plain: page }), "error")) as [Error];
  expect(error).toMatchObject({ name: "NetmemError", code: "ERR_NETMEM_LAYOUT_MISMATCH" });
});
