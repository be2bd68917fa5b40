import { afterEach, describe, expect, test } from "vitest";
import {
  acquireLock,
  acquireWithin,
  lockArena,
  lockHolder,
  releaseLock,
  repairLock,
  tryLock,
  unlockArena,
} from "../src/index.ts";

const AT = 3;
const createWords = (): Int32Array => new Int32Array(new SharedArrayBuffer(64));

function codeOf(misuse: () => void): unknown {
  try {
    misuse();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

const realAtomics = globalThis.Atomics;
afterEach(() => {
  globalThis.Atomics = realAtomics;
});

/** The main thread of a browser: the runtime refuses every wait. */
function forbidSleep(): void {
  const methods = Object.getOwnPropertyNames(realAtomics).map(
    (name) => [name, Reflect.get(realAtomics, name)] as const,
  );
  const wait = (): never => {
    throw new TypeError("Atomics.wait cannot be called in this context");
  };
  globalThis.Atomics = { ...Object.fromEntries(methods), wait } as unknown as typeof Atomics;
}

describe("the lock word", () => {
  test("names its holder", () => {
    const i32 = createWords();
    expect(lockHolder(i32, AT)).toBe(-1);
    acquireLock(i32, AT, 0);
    expect([i32[AT], lockHolder(i32, AT)]).toEqual([1, 0]);
    releaseLock(i32, AT, 0);
    expect(tryLock(i32, AT, 31)).toBe(true);
    expect([i32[AT], lockHolder(i32, AT)]).toEqual([32, 31]);
    expect(tryLock(i32, AT, 4)).toBe(false);
    releaseLock(i32, AT, 31);
    expect(i32.every((word) => word === 0)).toBe(true);
  });

  test("whoever has it does not wait for it: EDEADLK, and keeps it", () => {
    const i32 = createWords();
    acquireLock(i32, AT, 2);
    const error = codeOf(() => acquireLock(i32, AT, 2));
    expect(error).toMatchObject({ code: "ERR_NETMEM_LOCK_HELD", errno: "EDEADLK", value: 2 });
    expect(lockHolder(i32, AT)).toBe(2);
  });

  test("nobody else lets go of it: EPERM, and nothing changes", () => {
    const i32 = createWords();
    expect(codeOf(() => releaseLock(i32, AT, 1))).toMatchObject({ code: "ERR_NETMEM_LOCK_NOT_HELD", errno: "EPERM" });
    acquireLock(i32, AT, 2);
    const { message } = codeOf(() => releaseLock(i32, AT, 1)) as Error;
    expect(message).toContain("worker 2 holds");
    expect(lockHolder(i32, AT)).toBe(2);
  });

  test("a waiter gives up after its bounds and has changed nothing that matters", () => {
    const i32 = createWords();
    acquireLock(i32, AT, 2);
    expect(acquireWithin(i32, AT, 1, 3, 1)).toBe(false);
    expect(lockHolder(i32, AT)).toBe(2);
    releaseLock(i32, AT, 2);
    expect(acquireWithin(i32, AT, 1, 1, 0)).toBe(true);
  });

  test("where the runtime forbids sleeping, a stuck lock is an error that names the holder", () => {
    const i32 = createWords();
    acquireLock(i32, AT, 2);
    forbidSleep();
    const error = codeOf(() => acquireLock(i32, AT, 1));
    expect(error).toMatchObject({ code: "ERR_NETMEM_LOCK_STUCK", errno: "ETIMEDOUT", param: "holder", value: 2 });
  });

  test("a dead worker's lock is taken over once, that of the living never", () => {
    const i32 = createWords();
    acquireLock(i32, AT, 5);
    expect(repairLock(i32, AT, 4, 0)).toBe(false);
    expect(repairLock(i32, AT, 5, 0)).toBe(true);
    expect(lockHolder(i32, AT)).toBe(0);
    expect(repairLock(i32, AT, 5, 0)).toBe(false);
    releaseLock(i32, AT, 0);
    expect(i32[AT]).toBe(0);
  });

  test("a host with one thread does not touch it", () => {
    const host = { i32: createWords(), threaded: 0 as 0 | 1, workerId: 0 };
    lockArena(host, AT);
    expect(host.i32[AT]).toBe(0);
    unlockArena(host, AT);
    host.threaded = 1;
    lockArena(host, AT);
    expect(lockHolder(host.i32, AT)).toBe(0);
    unlockArena(host, AT);
    expect(host.i32[AT]).toBe(0);
  });
});
