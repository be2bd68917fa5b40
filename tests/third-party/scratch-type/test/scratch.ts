import { test } from "node:test";
import { createHost, type Host, type NetmemRef, returnNetmemBulk, XdpRxqInfo } from "@netmem/core";
import { memTypeSuite, type MemTypeSubject } from "@netmem/core/conformance";
import { createPageAllocator } from "@netmem/mm";
import { convertBuffToFrame, FrameBulk, memTypeOf, returnFrame, XdpBuff } from "@netmem/skb";
import { checkEqual, runSuite, VirtualClock } from "@netmem/testing";
import { createScratch, type ScratchAllocator } from "../src/index.js";

function makeHost(): Host {
  return createHost({ arenaBytes: 16 * 2 ** 20, clock: new VirtualClock(), pageAllocator: createPageAllocator });
}

function makeSubject(order: number): MemTypeSubject {
  const host = makeHost();
  const allocator = createScratch(host, order);
  return { host, memType: allocator.memType, allocator, capacity: allocator.capacity, memAllocator: allocator };
}

// 8 buffers, fewer than the return stack takes, and 512, more than it does.
for (const order of [2, 8])
  runSuite(
    memTypeSuite,
    () => makeSubject(order),
    (name, run) => test(`${name} (order ${order})`, run),
  );

function take(allocator: ScratchAllocator): NetmemRef {
  const ref = allocator.allocNetmem();
  if (ref === 0) throw new Error("the allocator is exhausted");
  return ref;
}

void test("its buffers are heads and fragments of frames beside ordinary pages", () => {
  const host = makeHost();
  const scratch = createScratch(host, 4);
  const free = host.pages.freePageCount();
  const rxq = new XdpRxqInfo();
  host.mem.regRxqInfo(rxq, 1, 0, 0);
  host.mem.regMemModel(rxq, scratch.memType, scratch);
  const xdp = new XdpBuff(host, rxq, 2048);
  const bulk = new FrameBulk(host);
  for (let round = 0; round < 100; round++) {
    bulk.begin();
    for (let n = 0; n < 5; n++) {
      const head = take(scratch);
      if (!host.isReadable(head)) throw new Error("the head is unreadable");
      xdp.prepare(head, host.offsetOf(head), 256, 100);
      const fragment = take(scratch);
      xdp.addFrag(fragment, 0, 1000, 2048);
      const page = host.pages.allocPages(0);
      if (page === 0) throw new Error("the host is out of pages");
      xdp.addFrag(page, 0, 1000, 4096);
      checkEqual(memTypeOf(host, fragment), scratch.memType, "memory type of a fragment");
      const frame = convertBuffToFrame(xdp);
      if (frame === 0) throw new Error("the packet is no frame");
      if (n % 2 === 0) returnFrame(host, frame);
      else bulk.add(frame);
    }
    bulk.end();
  }
  checkEqual([scratch.outCount, host.pages.freePageCount()], [0, free], "buffers out, free pages");
});

void test("its registration lives until the last buffer is home", () => {
  const host = makeHost();
  const scratch = createScratch(host, 2);
  const rxq = new XdpRxqInfo();
  host.mem.regRxqInfo(rxq, 1, 0, 0);
  host.mem.regMemModel(rxq, scratch.memType, scratch);
  const { id } = rxq.mem;
  const refs = Int32Array.of(take(scratch), take(scratch));
  host.mem.unregRxqInfo(rxq);
  scratch.destroy();
  checkEqual(host.mem.lookup(id) === scratch, true, "the id with two buffers out");
  returnNetmemBulk(host, refs, 2);
  checkEqual(host.mem.lookup(id), null, "the id when they are home");
});
