import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { acquireLock, lockHolder, releaseLock, repairLock } from "../src/index.ts";
import type { LockThreadInput } from "./arena-lock-thread.ts";

const LOCK = 0;
const COUNT = 16;

function start(input: Pick<LockThreadInput, "buffer" | "workerId"> & Partial<LockThreadInput>): Worker {
  const workerData = { lockAt: LOCK, countAt: COUNT, rounds: 0, hangs: false, ...input };
  return new Worker(new URL("./arena-lock-thread.ts", import.meta.url), { workerData });
}

test("four threads count to 400,000 without Atomics", async () => {
  const buffer = new SharedArrayBuffer(256);
  const i32 = new Int32Array(buffer);
  const rounds = 80_000;
  const workers = [1, 2, 3, 4].map((workerId) => start({ buffer, workerId, rounds }));
  const exits = workers.map((worker) => once(worker, "exit"));
  for (let round = 0; round < rounds; round++) {
    acquireLock(i32, LOCK, 0);
    i32[COUNT] = i32[COUNT]! + 1;
    releaseLock(i32, LOCK, 0);
  }
  await Promise.all(exits);
  expect(i32[COUNT]).toBe(5 * rounds);
  expect(i32[LOCK]).toBe(0);
});

test("a worker is terminated with the lock: found, taken over, and the ones that wait go on", async () => {
  const buffer = new SharedArrayBuffer(256);
  const i32 = new Int32Array(buffer);
  const victim = start({ buffer, workerId: 1, rounds: 100, hangs: true });
  await once(victim, "message");
  expect(lockHolder(i32, LOCK)).toBe(1);
  const waiter = start({ buffer, workerId: 2, rounds: 100 });
  const waited = once(waiter, "exit");
  await victim.terminate();
  expect(repairLock(i32, LOCK, 1, 0)).toBe(true);
  releaseLock(i32, LOCK, 0);
  await waited;
  expect(i32[COUNT]).toBe(200);
  expect(i32[LOCK]).toBe(0);
});
