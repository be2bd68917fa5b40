import { check, checkEqual, checkThrows, type Suite, type SuiteCase } from "@netmem/testing";
import { withNoDirect } from "../no-direct.ts";
import { type NetmemRef, type PageRef, type ReadableRef } from "../netmem-ref.ts";
import { XdpRxqInfo } from "../mem-registry.ts";
import { getNetmem, ppRefCount, refNetmem } from "../refcount.ts";
import { putNetmem, returnNetmem, returnNetmemBulk, returnNetmemRxNapi } from "../return-dispatch.ts";
import { MemTypeStand } from "./mem-type-stand.ts";
import type { MemTypeSubject } from "./mem-type-subject.ts";

const ROUNDS = 2000;

function isInstalled({ host, memType }: MemTypeSubject): void {
  const model = host.memTypes.modelOf(memType);
  check(model !== null, "no model is installed");
  checkEqual(model.type, memType, "number of the model");
  checkEqual(host.memTypes.numberOf(model.name), memType, "number of the name");
}

function registersWithAQueue({ host, memType, memAllocator }: MemTypeSubject): void {
  const rxq = new XdpRxqInfo();
  for (let round = 0; round < 3; round++) {
    host.mem.regRxqInfo(rxq, 1, 0, 0);
    host.mem.regMemModel(rxq, memType, memAllocator);
    checkEqual([rxq.mem.type, rxq.mem.id > 0], [memType, memAllocator !== null], "type, and whether there is an id");
    host.mem.unregRxqInfo(rxq);
  }
}

function handsOutEachOnce(subject: MemTypeSubject): void {
  const stand = new MemTypeStand(subject);
  const refs = [...stand.takeBulk(3), ...stand.takeAll()];
  checkEqual(stand.takeBulk(4).length, 0, "buffers when all are out");
  for (const ref of refs) {
    subject.allocator.put(ref, -1, true);
    stand.leave(ref);
  }
  stand.checkHome();
}

function comesHomeByType(subject: MemTypeSubject): void {
  const stand = new MemTypeStand(subject);
  const { host } = stand;
  const ways: readonly ((ref: NetmemRef) => void)[] = [
    (ref) => returnNetmem(host, ref),
    (ref) => returnNetmemRxNapi(host, ref),
    (ref) => withNoDirect(host.context, () => returnNetmemRxNapi(host, ref)),
    (ref) => returnNetmemBulk(host, Int32Array.of(ref), 1),
    (ref) => subject.allocator.put(ref, 0, false),
  ];
  for (const giveBack of ways) {
    for (const ref of stand.takeAll()) {
      giveBack(ref);
      stand.leave(ref);
    }
  }
  stand.checkHome();
}

function comesHomeAmongOthers(subject: MemTypeSubject): void {
  const stand = new MemTypeStand(subject);
  const { host, prng } = stand;
  const free = host.pages.freePageCount();
  const own = stand.takeAll();
  const plain = own.map(() => host.pages.allocPages(0)).filter((page): page is PageRef => page !== 0);
  const mixed: NetmemRef[] = [...own, ...plain];
  prng.shuffle(mixed);
  returnNetmemBulk(host, Int32Array.from(mixed), mixed.length);
  for (const ref of own) stand.leave(ref);
  checkEqual(host.pages.freePageCount(), free, "free pages");
  stand.checkHome();
}

function refusesASecondReturn(subject: MemTypeSubject): void {
  const stand = new MemTypeStand(subject);
  const { host } = stand;
  const refs = stand.takeBulk(3);
  for (const ref of refs) {
    returnNetmem(host, ref);
    stand.leave(ref);
    checkThrows(() => returnNetmem(host, ref), "ERR_NETMEM_DOUBLE_PUT", "a second return");
    checkThrows(() => returnNetmemRxNapi(host, ref), "ERR_NETMEM_DOUBLE_PUT", "a second return in the poll");
    checkThrows(() => subject.allocator.put(ref, -1, true), "ERR_NETMEM_DOUBLE_PUT", "a second put");
  }
  stand.checkHome();
}

function refusesAStaleReference(subject: MemTypeSubject): void {
  const stand = new MemTypeStand(subject);
  const { host } = stand;
  const old = stand.takeAll();
  for (const ref of old) {
    returnNetmem(host, ref);
    stand.leave(ref);
  }
  const fresh = stand.takeAll();
  for (const ref of old) checkThrows(() => returnNetmem(host, ref), "ERR_NETMEM_STALE_REF", "a reference of before");
  for (const ref of fresh) {
    check(stand.isLive(ref), "a refused return changed the buffer's next user");
    returnNetmem(host, ref);
    stand.leave(ref);
  }
  stand.checkHome();
}

function waitsForTheLastHolder(subject: MemTypeSubject): void {
  const stand = new MemTypeStand(subject);
  const { host } = stand;
  for (const ref of stand.takeBulk(5)) {
    refNetmem(host, ref);
    refNetmem(host, ref);
    for (const left of [2, 1]) {
      returnNetmem(host, ref);
      checkEqual([ppRefCount(host, ref), stand.isLive(ref)], [left, true], "holders, and whether it is live");
    }
    returnNetmem(host, ref);
    stand.leave(ref);
    checkThrows(() => returnNetmem(host, ref), "ERR_NETMEM_DOUBLE_PUT", "one return too many");
  }
  // What was shared once must not stay so.
  for (const ref of stand.takeAll()) {
    checkEqual(ppRefCount(host, ref), 1, "holders of a fresh buffer");
    returnNetmem(host, ref);
    stand.leave(ref);
  }
  stand.checkHome();
}

function takesAndDropsPageHolders(subject: MemTypeSubject): void {
  const stand = new MemTypeStand(subject);
  const { host } = stand;
  for (const ref of stand.takeBulk(5)) {
    getNetmem(host, ref);
    putNetmem(host, ref);
    check(stand.isLive(ref), "getNetmem and putNetmem together changed the buffer");
    returnNetmem(host, ref);
    stand.leave(ref);
  }
  stand.checkHome();
}

function keepsBytesApart(subject: MemTypeSubject): void {
  const stand = new MemTypeStand(subject);
  const { host } = stand;
  const refs = stand.takeAll();
  const readable = refs.filter((ref): ref is ReadableRef => host.isReadable(ref));
  for (const ref of refs) {
    if (!host.isReadable(ref))
      checkThrows(() => host.offsetOf(ref as ReadableRef), "ERR_NETMEM_UNREADABLE", "offsetOf");
  }
  for (const [n, ref] of readable.entries()) {
    const at = host.offsetOf(ref);
    host.u8.fill(n & 0xff, at, at + host.bufferBytes(ref));
  }
  for (const [n, ref] of readable.entries()) {
    const at = host.offsetOf(ref);
    const last = at + host.bufferBytes(ref) - 1;
    checkEqual([host.u8[at], host.u8[last]], [n & 0xff, n & 0xff], `bytes of buffer ${n}: others overlap it`);
  }
  returnNetmemBulk(host, Int32Array.from(refs), refs.length);
  for (const ref of refs) stand.leave(ref);
  stand.checkHome();
}

function survivesRandomTraffic(subject: MemTypeSubject): void {
  const stand = new MemTypeStand(subject);
  const { host, prng } = stand;
  const held: NetmemRef[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    if (prng.below(2) === 0) held.push(...stand.takeBulk(prng.below(subject.capacity)));
    const count = prng.below(held.length + 1);
    prng.shuffle(held);
    const gone = held.splice(0, count);
    if (prng.below(2) === 0) returnNetmemBulk(host, Int32Array.from(gone), count);
    else for (const ref of gone) returnNetmem(host, ref);
    for (const ref of gone) stand.leave(ref);
    checkEqual(held.length, stand.outCount, "buffers out");
    for (const ref of held) check(stand.isLive(ref), "somebody else's return took a buffer away");
  }
  returnNetmemBulk(host, Int32Array.from(held), held.length);
  for (const ref of held) stand.leave(ref);
  stand.checkHome();
}

const cases: readonly SuiteCase<MemTypeSubject>[] = [
  { name: "is installed under its number and name", run: isInstalled },
  { name: "registers with a queue, and again", run: registersWithAQueue },
  { name: "hands out live buffers of its type, each once", run: handsOutEachOnce },
  { name: "takes buffers home by every way of returning one", run: comesHomeByType },
  { name: "takes its own home among buffers of another type", run: comesHomeAmongOthers },
  { name: "refuses a second return, and loses nothing by it", run: refusesASecondReturn },
  { name: "refuses a reference of the buffer's last use", run: refusesAStaleReference },
  { name: "keeps a buffer until its last holder returned it", run: waitsForTheLastHolder },
  { name: "lets page-level holders come and go", run: takesAndDropsPageHolders },
  { name: "keeps the bytes of its buffers apart, or hands none out", run: keepsBytesApart },
  { name: "survives random traffic", run: survivesRandomTraffic },
];

/**
 * What every memory type must do, whatever its buffers are. Register it with any runner:
 * `runSuite(memTypeSuite, makeSubject, test)`.
 */
export const memTypeSuite: Suite<MemTypeSubject> = { name: "memory type", cases };
