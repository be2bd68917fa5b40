import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { createMemory, idxOf, MemType, META_SHARED, pageRefCount, ppRefCount } from "../src/index.ts";
import type { ThreadInput, ThreadReport } from "./attached-thread.ts";
import { fakeProvider } from "./fake-provider.ts";
import { createCoreHost, FakeOwner, takePage } from "./core-host.ts";

function start(workerData: ThreadInput): Worker {
  return new Worker(new URL("./attached-thread.ts", import.meta.url), { workerData });
}

test("another thread sees the same bytes, references, numbers and areas, and has owners and areas of its own", async () => {
  const subject = createCoreHost();
  const { host } = subject;
  const owner = new FakeOwner(host, MemType.PagePool, 8);
  const page = owner.handOut(takePage(subject));
  const plain = takePage(subject);
  const type = host.memTypes.numberOf("own type");
  const provider = host.providers.register(fakeProvider("own provider"));
  const area = host.areas.add({ name: "counted", count: 2, pageShift: 12, getRef: () => {}, putRef: () => {} });
  owner.handOut(host.areas.refAt(area, 0));
  host.u8[host.offsetOf(page)] = 42;
  const shared = host.share();
  const descriptors = host.i32.slice(0, host.layout.ownersAt);
  const [message] = (await once(start({ shared, page, plain, ownerId: owner.id }), "message")) as [ThreadReport];
  expect(message).toEqual({
    pageCount: host.layout.pageCount,
    byteFound: 42,
    holders: 2,
    workerId: 1,
    numbers: [type, provider, type + 1],
    creatorsOwner: `owner ${owner.id} of worker 0`,
    ownerId: owner.id + 1,
    areaIdx: area.firstIdx + 2,
    codes: {
      returnNetmem: "ERR_NETMEM_WRONG_THREAD",
      returnNetmemBulk: "ERR_NETMEM_WRONG_THREAD",
      rxNapi: "ERR_NETMEM_WRONG_THREAD",
      staleReturn: "ERR_NETMEM_STALE_REF",
      lastPut: "ERR_NETMEM_WRONG_THREAD",
      allocPages: "ERR_NETMEM_WRONG_THREAD",
      freePage: "ERR_NETMEM_WRONG_THREAD",
      allocWords: "ERR_NETMEM_WRONG_THREAD",
      pageAllocator: "ERR_NETMEM_OWNER_TAKEN",
      foreignArea: "ERR_NETMEM_WRONG_THREAD",
      unboundArea: "ERR_NETMEM_AREA_UNBOUND",
      detach: "ERR_NETMEM_BUSY",
    },
  });
  expect(host.u8[host.offsetOf(page) + 1]).toBe(43);
  expect([pageRefCount(host, page), ppRefCount(host, page)]).toEqual([2, 2]);
  const idx = idxOf(page);
  const areaInfo = host.infoAt + message.areaIdx;
  const touched = [idx, host.ppRefAt + idx, host.pageRefAt + idx, areaInfo];
  expect((host.i32[idx]! & META_SHARED) !== 0).toBe(true);
  expect(descriptors.findIndex((word, at) => word !== host.i32[at] && !touched.includes(at))).toBe(-1);
  expect(host.owners.list(1)).toEqual([
    { ownerId: message.ownerId, name: "of the thread", memType: MemType.PagePool, workerId: 1 },
  ]);
  expect(host.owners.get(message.ownerId)).toBe(null);
  expect(host.areas.of(message.areaIdx)).toMatchObject({ name: "of the thread", count: 1, readable: false });
  expect(host.memTypes.nameOf(type + 1)).toBe("type of the thread");
  expect(host.workers.list().map(({ name }) => name)).toEqual(["creator", "thread 1"]);
});

test("a thread that is posted some other memory is told so", async () => {
  const subject = createCoreHost();
  const page = takePage(subject);
  const shared = { memory: createMemory(4 * 2 ** 20) };
  const [error] = (await once(start({ shared, page, plain: page, ownerId: 3 }), "error")) as [Error];
  expect(error).toMatchObject({ name: "NetmemError", code: "ERR_NETMEM_LAYOUT_MISMATCH" });
});
