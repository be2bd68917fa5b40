import { beforeEach, expect, test } from "vitest";
import { type MemAllocator, MemRegistry, MemType, MemTypeRegistry, RegState, XdpRxqInfo } from "../src/index.ts";
import { errorOf } from "./core-host.ts";

const MEM_ID_MAX = 0xfffd;

/** An allocator as a page pool is one: its ids vanish when the last user is gone and the last buffer home. */
class FakePool implements MemAllocator {
  readonly ids: number[] = [];
  users = 1;
  buffersOut = 0;
  private readonly disconnects: (() => void)[] = [];

  useMem(memId: number, disconnect: () => void): void {
    this.ids.push(memId);
    this.users++;
    this.disconnects.push(disconnect);
  }

  destroy(): void {
    this.users--;
    this.settle();
  }

  /** The buffers come home. */
  returnAll(): void {
    this.buffersOut = 0;
    this.settle();
  }

  private settle(): void {
    if (this.users > 0 || this.buffersOut > 0) return;
    for (const disconnect of this.disconnects.splice(0)) disconnect();
  }
}

let types: MemTypeRegistry;
let registry: MemRegistry;
let rxq: XdpRxqInfo;

beforeEach(() => {
  types = new MemTypeRegistry();
  for (const [type, name] of [
    [MemType.PageShared, "page_shared"],
    [MemType.PageOrder0, "page_order0"],
    [MemType.PagePool, "page_pool"],
  ] as const) {
    types.install({ type, name, drain: () => {} });
  }
  registry = new MemRegistry(types);
  rxq = new XdpRxqInfo();
});

test("#208 registering a queue: no device ENODEV, unused EINVAL, in this order", () => {
  expect(errorOf(() => registry.regRxqInfo(rxq, 0, 3, 0))).toMatchObject({
    code: "ERR_NETMEM_NO_DEVICE",
    errno: "ENODEV",
    value: 0,
  });
  expect(rxq.regState).toBe(RegState.New);
  registry.markUnused(rxq);
  expect(errorOf(() => registry.regRxqInfo(rxq, 0, 3, 0))).toMatchObject({ errno: "ENODEV" });
  expect(errorOf(() => registry.regRxqInfo(rxq, 2, 3, 0))).toMatchObject({
    code: "ERR_NETMEM_RXQ_UNUSED",
    errno: "EINVAL",
    value: 3,
  });
  expect(rxq.regState).toBe(RegState.Unused);
});

test("#208 registering twice: the first registration is undone, the second holds", () => {
  const pool = new FakePool();
  registry.regRxqInfo(rxq, 2, 3, 4096);
  registry.regMemModel(rxq, MemType.PagePool, pool);
  registry.regRxqInfo(rxq, 5, 6, 2048);
  expect([rxq.regState, rxq.ifindex, rxq.queueIdx, rxq.fragSizeBytes]).toEqual([RegState.Registered, 5, 6, 2048]);
  expect(rxq.mem).toEqual({ type: MemType.PageShared, id: 0 });
  expect(pool.users).toBe(1);
});

test("unregistering: silent for an unused queue, refused for one that is not registered", () => {
  expect(errorOf(() => registry.unregRxqInfo(rxq))).toMatchObject({ code: "ERR_NETMEM_RXQ_STATE", errno: "EINVAL" });
  registry.markUnused(rxq);
  registry.unregRxqInfo(rxq);
  expect([rxq.regState, registry.isRegistered(rxq)]).toEqual([RegState.Unused, false]);
  rxq.regState = RegState.New;
  registry.regRxqInfo(rxq, 2, 0, 0);
  registry.unregRxqInfo(rxq);
  expect([rxq.regState, rxq.ifindex]).toEqual([RegState.Unregistered, 0]);
  expect(errorOf(() => registry.unregRxqInfo(rxq))).toMatchObject({ code: "ERR_NETMEM_RXQ_STATE" });
  registry.regRxqInfo(rxq, 2, 0, 0);
  expect([rxq.regState, registry.isRegistered(rxq)]).toEqual([RegState.Registered, true]);
});

test("#209 a memory model: EFAULT before the queue is registered, whatever else is wrong", () => {
  const error = errorOf(() => registry.regMemModel(rxq, 77, null));
  expect(error).toMatchObject({ code: "ERR_NETMEM_RXQ_STATE", errno: "EFAULT" });
  expect(rxq.mem.type).toBe(MemType.PageShared);
});

test("#209 a memory model: EOPNOTSUPP for a type without one, and the queue keeps its type", () => {
  registry.regRxqInfo(rxq, 1, 0, 0);
  for (const type of [MemType.XskBuffPool, MemType.Devmem, 77, -1]) {
    const error = errorOf(() => registry.regMemModel(rxq, type, null));
    expect(error).toMatchObject({ code: "ERR_NETMEM_TYPE_UNSUPPORTED", errno: "EOPNOTSUPP", value: type });
    expect(rxq.mem).toEqual({ type: MemType.PageShared, id: 0 });
  }
});

test("#209 a memory model: page_pool without a pool is EINVAL, and the type is set by then", () => {
  registry.regRxqInfo(rxq, 1, 0, 0);
  const error = errorOf(() => registry.regMemModel(rxq, MemType.PagePool, null));
  expect(error).toMatchObject({ code: "ERR_NETMEM_ALLOCATOR_MISSING", errno: "EINVAL" });
  expect(rxq.mem).toEqual({ type: MemType.PagePool, id: 0 });
});

test("#209 a memory model: page_order0 needs no allocator and gets no id", () => {
  registry.regRxqInfo(rxq, 1, 0, 0);
  registry.regMemModel(rxq, MemType.PageOrder0, null);
  expect(rxq.mem).toEqual({ type: MemType.PageOrder0, id: 0 });
  registry.unregMemModel(rxq);
  expect(rxq.mem).toEqual({ type: MemType.PageShared, id: 0 });
});

test("a second allocator for a queue is refused: the kernel would lose the first", () => {
  const [first, second] = [new FakePool(), new FakePool()];
  registry.regRxqInfo(rxq, 1, 0, 0);
  registry.regMemModel(rxq, MemType.PagePool, first);
  const error = errorOf(() => registry.regMemModel(rxq, MemType.PagePool, second));
  expect(error).toMatchObject({ code: "ERR_NETMEM_MEM_MODEL_SET", errno: "EBUSY", value: 1 });
  expect([first.users, second.users, rxq.mem.id]).toEqual([2, 1, 1]);
  registry.unregMemModel(rxq);
  registry.regMemModel(rxq, MemType.PagePool, second);
  expect([first.users, second.users, rxq.mem.id]).toEqual([1, 2, 2]);
});

test("#211 ids are cyclic from 1: a freed one waits for the wrap", () => {
  const pools = Array.from({ length: 3 }, () => new FakePool());
  expect(pools.map((pool) => registry.register(pool))).toEqual([1, 2, 3]);
  pools[1]!.destroy();
  registry.unregister(2);
  expect(registry.lookup(2)).toBe(null);
  expect(registry.register(new FakePool())).toBe(4);
});

test("#211 65533 live ids: ENOSPC; one freed is found after the wrap", () => {
  const pools = Array.from({ length: MEM_ID_MAX }, () => new FakePool());
  expect(pools.map((pool) => registry.register(pool))).toEqual(Array.from({ length: MEM_ID_MAX }, (_, i) => i + 1));
  expect(errorOf(() => registry.register(new FakePool()))).toMatchObject({
    code: "ERR_NETMEM_MEM_IDS_EXHAUSTED",
    errno: "ENOSPC",
  });
  registry.regRxqInfo(rxq, 1, 0, 0);
  expect(errorOf(() => registry.regMemModel(rxq, MemType.PagePool, new FakePool()))).toMatchObject({ errno: "ENOSPC" });
  expect(rxq.mem).toEqual({ type: MemType.PagePool, id: 0 });
  pools[40_000]!.destroy();
  registry.unregister(40_001);
  expect(registry.register(new FakePool())).toBe(40_001);
  pools[0]!.destroy();
  registry.unregister(1);
  expect(registry.register(new FakePool())).toBe(1);
  expect(errorOf(() => registry.register(new FakePool()))).toMatchObject({ errno: "ENOSPC" });
});

test("#212 unregistered with buffers out: the id stays taken until the last one is home", () => {
  const pool = new FakePool();
  registry.regRxqInfo(rxq, 1, 0, 0);
  registry.regMemModel(rxq, MemType.PagePool, pool);
  const { id } = rxq.mem;
  pool.destroy();
  pool.buffersOut = 1;
  registry.unregRxqInfo(rxq);
  expect(pool.users).toBe(0);
  expect(registry.lookup(id)).toBe(pool);
  expect(rxq.mem.id).toBe(0);
  pool.returnAll();
  expect(registry.lookup(id)).toBe(null);
});

test("#214 one pool on two queues: three users, two ids, both gone on disconnect", () => {
  const pool = new FakePool();
  const other = new XdpRxqInfo();
  for (const queue of [rxq, other]) {
    registry.regRxqInfo(queue, 1, 0, 0);
    registry.regMemModel(queue, MemType.PagePool, pool);
  }
  expect([pool.users, rxq.mem.id, other.mem.id]).toEqual([3, 1, 2]);
  pool.destroy();
  registry.unregRxqInfo(rxq);
  expect([registry.lookup(1), registry.lookup(2)]).toEqual([pool, pool]);
  registry.unregRxqInfo(other);
  expect([registry.lookup(1), registry.lookup(2)]).toEqual([null, null]);
});

test("an id is unregistered once: the second time would drop somebody else's reference", () => {
  const pool = new FakePool();
  const id = registry.register(pool);
  registry.unregister(id);
  expect(pool.users).toBe(1);
  expect(errorOf(() => registry.unregister(id))).toMatchObject({
    code: "ERR_NETMEM_MEM_ID_UNKNOWN",
    errno: "ENOENT",
    value: id,
  });
  expect(pool.users).toBe(1);
  expect(errorOf(() => registry.unregister(999))).toMatchObject({ code: "ERR_NETMEM_MEM_ID_UNKNOWN" });
});

test("an allocator that refuses leaves no id behind", () => {
  const refusal = new Error("destroyed already");
  const pool: MemAllocator = {
    useMem: () => {
      throw refusal;
    },
    destroy: () => {},
  };
  registry.regRxqInfo(rxq, 1, 0, 0);
  expect(errorOf(() => registry.regMemModel(rxq, MemType.PagePool, pool))).toBe(refusal);
  expect([registry.lookup(1), rxq.mem.id]).toEqual([null, 0]);
});

test("a late disconnect does not free the id's next user", () => {
  const disconnects: (() => void)[] = [];
  const pool: MemAllocator = { useMem: (_id, disconnect) => disconnects.push(disconnect), destroy: () => {} };
  for (let id = 1; id <= MEM_ID_MAX; id++) registry.register(pool);
  disconnects[6]!();
  expect(registry.register(pool)).toBe(7);
  disconnects[6]!();
  expect(registry.lookup(7)).toBe(pool);
});

test("a registration without a queue is shared by attached queues, and outlives them", () => {
  const pool = new FakePool();
  const id = registry.register(pool);
  const other = new XdpRxqInfo();
  for (const queue of [rxq, other]) {
    registry.regRxqInfo(queue, 1, 0, 0);
    registry.attachMemModel(queue, id);
  }
  expect([pool.users, rxq.mem, other.mem]).toEqual([2, { type: MemType.PagePool, id }, { type: MemType.PagePool, id }]);
  expect(errorOf(() => registry.unregister(id))).toMatchObject({ code: "ERR_NETMEM_MEM_ID_ATTACHED", errno: "EBUSY" });
  registry.unregRxqInfo(rxq);
  registry.detachMemModel(other);
  registry.detachMemModel(other);
  expect([pool.users, other.mem, other.isAttached]).toEqual([2, { type: MemType.PageShared, id: 0 }, false]);
  registry.unregister(id);
  expect(pool.users).toBe(1);
});

test("attaching: EFAULT before the queue is registered, EBUSY with a model, ENOENT for an id that is gone", () => {
  const id = registry.register(new FakePool());
  expect(errorOf(() => registry.attachMemModel(rxq, 999))).toMatchObject({
    code: "ERR_NETMEM_RXQ_STATE",
    errno: "EFAULT",
  });
  registry.regRxqInfo(rxq, 1, 0, 0);
  expect(errorOf(() => registry.attachMemModel(rxq, 999))).toMatchObject({ code: "ERR_NETMEM_MEM_ID_UNKNOWN" });
  registry.attachMemModel(rxq, id);
  expect(errorOf(() => registry.attachMemModel(rxq, 999))).toMatchObject({
    code: "ERR_NETMEM_MEM_MODEL_SET",
    errno: "EBUSY",
  });
  expect(errorOf(() => registry.regMemModel(rxq, MemType.PagePool, new FakePool()))).toMatchObject({ errno: "EBUSY" });
});

test("a registration without a queue needs a type with a model, and takes no id otherwise", () => {
  const pool = new FakePool();
  const error = errorOf(() => registry.register(pool, MemType.XskBuffPool));
  expect(error).toMatchObject({ code: "ERR_NETMEM_TYPE_UNSUPPORTED", errno: "EOPNOTSUPP", value: MemType.XskBuffPool });
  expect(pool.ids).toEqual([]);
  expect(registry.register(pool)).toBe(1);
});

test("an allocator is told its queue, once the registration holds", () => {
  const told: [XdpRxqInfo, number][] = [];
  const pool: MemAllocator = {
    useMem: () => {},
    destroy: () => {},
    setRxqInfo: (queue) => told.push([queue, queue.mem.id]),
  };
  registry.regRxqInfo(rxq, 1, 0, 0);
  registry.regMemModel(rxq, MemType.PagePool, pool);
  expect(told).toEqual([[rxq, 1]]);
});

test("a queue whose registration others are attached to keeps it, and is unregistered when they are gone", () => {
  const pool = new FakePool();
  const other = new XdpRxqInfo();
  for (const queue of [rxq, other]) registry.regRxqInfo(queue, 1, 0, 0);
  registry.regMemModel(rxq, MemType.PagePool, pool);
  const { id } = rxq.mem;
  registry.attachMemModel(other, id);
  for (const refused of [
    () => registry.unregMemModel(rxq),
    () => registry.unregRxqInfo(rxq),
    () => registry.regRxqInfo(rxq, 2, 3, 0),
  ]) {
    expect(errorOf(refused)).toMatchObject({ code: "ERR_NETMEM_MEM_ID_ATTACHED", errno: "EBUSY", value: id });
    expect([rxq.mem.id, rxq.regState, rxq.ifindex, pool.users]).toEqual([id, RegState.Registered, 1, 2]);
  }
  registry.unregRxqInfo(other);
  registry.unregRxqInfo(rxq);
  expect([pool.users, rxq.mem.id, rxq.regState]).toEqual([1, 0, RegState.Unregistered]);
});
