import { expect, test } from "vitest";
import {
  asNetmemRef,
  failBulkEntry,
  genOf,
  getNetmem,
  idxOf,
  makeRef,
  MemType,
  META_GEN_MASK,
  metaOwner,
  metaState,
  NetmemError,
  type NetmemRef,
  NetmemState,
  ownerTag,
  pageRefCount,
  putNetmem,
  ppRefCount,
  refNetmem,
  returnNetmem,
  returnNetmemBulk,
  returnNetmemRxNapi,
  returnRun,
  unrefNetmem,
} from "../src/index.ts";
import { type CoreHost, createCoreHost, errorOf, expectRefused, FakeModel, FakeOwner, takePage } from "./core-host.ts";

function next(ref: NetmemRef): NetmemRef {
  return makeRef(idxOf(ref), (genOf(ref) + 1) & META_GEN_MASK, ref & 1);
}

function poolPages(subject: CoreHost, pool: FakeOwner, count: number): NetmemRef[] {
  return Array.from({ length: count }, () => pool.handOut<NetmemRef>(takePage(subject)));
}

test("#215 a buffer goes to its own owner's stack, armed for its next user", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const [a, b] = [new FakeOwner(host, MemType.PagePool, 4), new FakeOwner(host, MemType.PagePool, 4)];
  const [ofA] = poolPages(subject, a, 1);
  const [ofB] = poolPages(subject, b, 1);
  returnNetmem(host, ofB!);
  returnNetmem(host, ofA!);
  expect([a.stack(), b.stack()]).toEqual([[next(ofA!)], [next(ofB!)]]);
  const meta = host.i32[idxOf(ofA!)]!;
  expect([metaOwner(meta), metaState(meta), meta & META_GEN_MASK]).toEqual([
    a.id,
    NetmemState.Pooled,
    genOf(next(ofA!)),
  ]);
  expect([...a.slowCalls, ...b.slowCalls]).toEqual([]);
});

test("#220 one packet, many types: every piece goes home to its own, in one call", () => {
  const subject = createCoreHost();
  const { host, pages } = subject;
  const types = ["page_pool", "xsk_buff_pool", "devmem", "nvme"].map((name) => new FakeModel(host, name));
  const owners = types.map(({ type }) => new FakeOwner(host, type, 8));
  const area = host.areas.add({ name: "gpu", count: 8, pageShift: 12 });
  const niov = owners[2]!.handOut(host.areas.refAt(area, 5));
  const plain = takePage(subject);
  const packet = [
    ...owners.slice(0, 2).flatMap((owner) => poolPages(subject, owner, 2)),
    niov,
    ...poolPages(subject, owners[3]!, 1),
    plain,
  ];
  const free = pages.freePageCount();
  returnNetmemBulk(host, Int32Array.from(packet), packet.length);
  expect(owners.map(({ count }) => count)).toEqual([2, 2, 1, 1]);
  expect(pages.freePageCount()).toBe(free + 1);
  for (const owner of owners) owner.drain();
  expect(types.map(({ home }) => home.length)).toEqual([2, 2, 1, 1]);
  expect(types[2]!.home).toEqual([next(niov)]);
  expect(types[0]!.home).toEqual(packet.slice(0, 2).map((ref) => next(ref)));
});

test("a full stack: the owner is asked, and may drain", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const model = new FakeModel(host, "page_pool");
  const pool = new FakeOwner(host, model.type, 3);
  const refs = poolPages(subject, pool, 5);
  for (const ref of refs) returnNetmem(host, ref);
  expect(pool.slowCalls).toEqual([{ ref: refs[3], allowDirect: false }]);
  expect(model.home).toEqual(refs.slice(0, 3).map((ref) => next(ref)));
  expect(pool.stack()).toEqual(refs.slice(3).map((ref) => next(ref)));
});

test("limit 0: the owner sees every return, and nothing has been touched by then", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const pool = new FakeOwner(host, MemType.PagePool, 0);
  const [ref] = poolPages(subject, pool, 1);
  pool.onSlow = () => {};
  const before = host.i32[idxOf(ref!)];
  returnNetmem(host, ref!);
  expect(pool.slowCalls).toEqual([{ ref, allowDirect: false }]);
  expect([host.i32[idxOf(ref!)], pool.count]).toEqual([before, 0]);
});

test("a shared buffer goes to the slow path although there is room", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const pool = new FakeOwner(host, MemType.PagePool, 8);
  const [ref] = poolPages(subject, pool, 1);
  const left: number[] = [];
  pool.onSlow = (slow) => left.push(unrefNetmem(host, slow, 1));
  refNetmem(host, ref!);
  refNetmem(host, ref!);
  for (let k = 0; k < 3; k++) returnNetmem(host, ref!);
  expect([left, pool.count]).toEqual([[2, 1, 0], 0]);
});

test("#217 rxNapi returns carry the promise to the slow path; plain ones do not", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const pool = new FakeOwner(host, MemType.PagePool, 0);
  pool.onSlow = () => {};
  const [ref] = poolPages(subject, pool, 1);
  returnNetmemRxNapi(host, ref!);
  returnNetmem(host, ref!);
  returnNetmemBulk(host, Int32Array.of(ref!), 1);
  expect(pool.slowCalls.map(({ allowDirect }) => allowDirect)).toEqual([true, false, false]);
});

test("#218 with the no-direct flag an rxNapi return is a plain one", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const pool = new FakeOwner(host, MemType.PagePool, 0);
  pool.onSlow = () => {};
  const [ref] = poolPages(subject, pool, 1);
  host.context.noDirect = true;
  returnNetmemRxNapi(host, ref!);
  host.context.noDirect = false;
  returnNetmemRxNapi(host, ref!);
  expect(pool.slowCalls.map(({ allowDirect }) => allowDirect)).toEqual([false, true]);
});

test("double put: refused at the call, from the stack and from further home", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const pool = new FakeOwner(host, MemType.PagePool, 2);
  const [ref] = poolPages(subject, pool, 1);
  returnNetmem(host, ref!);
  for (const call of [returnNetmem, returnNetmemRxNapi, putNetmem]) {
    const error = expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => call(host, ref!));
    expect(error).toMatchObject({ param: "ref", value: ref });
    expect(String(error["message"])).toContain(pool.name);
  }
  host.i32[idxOf(ref!)] = genOf(next(ref!));
  expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => returnNetmem(host, ref!));
});

test("double put where the generation wraps", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const pool = new FakeOwner(host, MemType.PagePool, 2);
  const page = takePage(subject);
  const last = pool.handOut(makeRef(idxOf(page), 511, 0));
  returnNetmem(host, last);
  expect(pool.stack()).toEqual([makeRef(idxOf(page), 0, 0)]);
  expectRefused(host, "ERR_NETMEM_DOUBLE_PUT", () => returnNetmem(host, last));
});

test("stale: the buffer has another user by now", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const pool = new FakeOwner(host, MemType.PagePool, 2);
  const [ref] = poolPages(subject, pool, 1);
  returnNetmem(host, ref!);
  pool.drain();
  pool.handOut(next(ref!));
  expectRefused(host, "ERR_NETMEM_STALE_REF", () => returnNetmem(host, ref!));
  returnNetmem(host, next(ref!));
  expect(pool.count).toBe(1);
});

test("an armed reference that nobody was given", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const pool = new FakeOwner(host, MemType.PagePool, 2);
  const [ref] = poolPages(subject, pool, 1);
  returnNetmem(host, ref!);
  expectRefused(host, "ERR_NETMEM_NOT_OUT", () => returnNetmem(host, next(ref!)));
});

test("foreign: a buffer whose owner is gone belongs to nobody here", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const pool = new FakeOwner(host, MemType.PagePool, 2);
  const [ref] = poolPages(subject, pool, 1);
  host.owners.release(pool.id);
  expectRefused(host, "ERR_NETMEM_FOREIGN_PUT", () => returnNetmem(host, ref!));
});

test.each([
  ["Returning", "ERR_NETMEM_DOUBLE_PUT"],
  ["Quarantined", "ERR_NETMEM_STALE_REF"],
  ["Posted", "ERR_NETMEM_STALE_REF"],
] as const)("a buffer that is %s is not out", (state, code) => {
  const subject = createCoreHost();
  const { host } = subject;
  const pool = new FakeOwner(host, MemType.PagePool, 2);
  const [ref] = poolPages(subject, pool, 1);
  host.i32[idxOf(ref!)] = ownerTag(pool.id, NetmemState[state]) | genOf(ref!);
  const error = expectRefused(host, code, () => returnNetmem(host, ref!));
  expect(String(error["message"])).toContain(state.toLowerCase());
});

test("numbers that name no buffer, header words among them", () => {
  const { host } = createCoreHost();
  const { firstPageIdx, maxNetmems } = host.layout;
  const indices = [...Array.from({ length: 64 }, (_, idx) => idx), firstPageIdx - 1, maxNetmems];
  for (const idx of indices) {
    for (const gen of [0, 1, 511, host.i32[idx]! & META_GEN_MASK]) {
      for (const call of [returnNetmem, putNetmem, getNetmem, refNetmem]) {
        expectRefused(host, "ERR_NETMEM_BAD_REF", () => call(host, makeRef(idx, gen, 0)));
      }
    }
  }
  for (const number of [0, -1, -(2 ** 31)])
    expectRefused(host, "ERR_NETMEM_BAD_REF", () => returnNetmem(host, asNetmemRef(number)));
});

test("a live reference with the sign bit set is none", () => {
  const subject = createCoreHost();
  const pool = new FakeOwner(subject.host, MemType.PagePool, 2);
  const [ref] = poolPages(subject, pool, 1);
  expectRefused(subject.host, "ERR_NETMEM_BAD_REF", () => returnNetmem(subject.host, asNetmemRef(ref! | (1 << 31))));
});

test("bulk: entries before a bad one are home, it and the rest are not, and the error says which", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const pool = new FakeOwner(host, MemType.PagePool, 8);
  const refs = poolPages(subject, pool, 5);
  const list = Int32Array.of(refs[0]!, refs[1]!, refs[0]!, refs[2]!, refs[3]!);
  const error = errorOf(() => returnNetmemBulk(host, list, 5));
  expect(error).toMatchObject({ code: "ERR_NETMEM_DOUBLE_PUT", param: "refs[2]", value: refs[0] });
  expect(String(error["message"])).toMatch(
    /^ERR_NETMEM_DOUBLE_PUT: entry 2: .*exactly once\. Entries before 2 are home; it and the rest are still yours\.$/,
  );
  expect(error["cause"]).toMatchObject({ code: "ERR_NETMEM_DOUBLE_PUT", param: "ref" });
  expect(pool.stack()).toEqual([next(refs[0]!), next(refs[1]!)]);
  returnNetmemBulk(host, list.subarray(3), 2);
  expect(pool.count).toBe(4);
});

test("returnRun stops at what is shared, has no room or is dead, and leaves it as it is", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const pool = new FakeOwner(host, MemType.PagePool, 4);
  const refs = poolPages(subject, pool, 7);
  refNetmem(host, refs[2]!);
  const list = Int32Array.from(refs);
  const sharedMeta = host.i32[idxOf(refs[2]!)];
  expect(returnRun(host, list, 0, 7)).toBe(2);
  expect([host.i32[idxOf(refs[2]!)], ppRefCount(host, refs[2]!)]).toEqual([sharedMeta, 2]);
  expect(returnRun(host, list, 3, 7)).toBe(5);
  expect(pool.stack()).toEqual([refs[0]!, refs[1]!, refs[3]!, refs[4]!].map((ref) => next(ref)));
  expect(returnRun(host, list, 0, 7)).toBe(0);
  expect(returnRun(host, Int32Array.of(refs[5]! | (1 << 31)), 0, 1)).toBe(0);
  expect(returnRun(host, list, 7, 7)).toBe(7);
  expect(pool.slowCalls).toEqual([]);
});

test("bulk: nothing for a count of 0; an owner's own error comes through as it is", () => {
  const subject = createCoreHost();
  const { host } = subject;
  const pool = new FakeOwner(host, MemType.PagePool, 0);
  const [ref] = poolPages(subject, pool, 1);
  returnNetmemBulk(host, Int32Array.of(ref!), 0);
  expect(pool.slowCalls).toEqual([]);
  const failure = new Error("driver bug");
  pool.onSlow = () => {
    throw failure;
  };
  expect(errorOf(() => returnNetmemBulk(host, Int32Array.of(ref!), 1))).toBe(failure);
});

test("failBulkEntry keeps the errno", () => {
  const cause = new NetmemError({
    code: "ERR_NETMEM_X",
    errno: "EBUSY",
    reason: "it is busy",
    remedy: "Wait.",
    value: 9,
  });
  expect(errorOf(() => failBulkEntry(cause, 3))).toMatchObject({
    code: "ERR_NETMEM_X",
    errno: "EBUSY",
    param: "refs[3]",
    value: 9,
    message: "ERR_NETMEM_X: entry 3: it is busy. Wait. Entries before 3 are home; it and the rest are still yours.",
  });
});

test("#221 a plain page is freed by its last holder", () => {
  const subject = createCoreHost();
  const { host, pages } = subject;
  const free = pages.freePageCount();
  const ref = takePage(subject);
  getNetmem(host, ref);
  returnNetmem(host, ref);
  expect([pageRefCount(host, ref), pages.freePageCount()]).toEqual([1, free - 1]);
  returnNetmem(host, ref);
  expect(pages.freePageCount()).toBe(free);
});

test("an integer above all references is none, whatever the state of the buffer that its bits name", () => {
  const subject = createCoreHost();
  const pool = new FakeOwner(subject.host, MemType.PagePool, 4);
  const [ref] = poolPages(subject, pool, 1);
  for (const state of Object.values(NetmemState)) {
    subject.host.i32[idxOf(ref!)] = ownerTag(pool.id, state) | genOf(ref!);
    for (const bits of [1 << 30, 1 << 31, 3 << 30]) {
      const wrong = asNetmemRef(ref! | bits);
      for (const call of [
        () => returnNetmem(subject.host, wrong),
        () => returnNetmemBulk(subject.host, Int32Array.of(wrong), 1),
        () => putNetmem(subject.host, wrong),
        () => refNetmem(subject.host, wrong),
      ]) {
        const before = subject.host.i32[idxOf(ref!)];
        expect(errorOf(call)).toMatchObject({ name: "NetmemError" });
        expect([subject.host.i32[idxOf(ref!)], pool.count]).toEqual([before, 0]);
      }
    }
  }
});
