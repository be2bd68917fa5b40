import { parentPort, workerData } from "node:worker_threads";
import { acquireLock, releaseLock } from "../src/index.ts";

/** What a thread of the lock's tests is started with. */
export interface LockThreadInput {
  readonly buffer: SharedArrayBuffer;
  readonly lockAt: number;
  /** Word that is incremented without Atomics while the lock is held. */
  readonly countAt: number;
  readonly workerId: number;
  readonly rounds: number;
  /** The last time, keeps the lock and spins. */
  readonly hangs: boolean;
}

const { buffer, lockAt, countAt, workerId, rounds, hangs } = workerData as LockThreadInput;
const i32 = new Int32Array(buffer);
for (let round = 0; round < rounds; round++) {
  acquireLock(i32, lockAt, workerId);
  i32[countAt] = i32[countAt]! + 1;
  releaseLock(i32, lockAt, workerId);
}
if (hangs) {
  acquireLock(i32, lockAt, workerId);
  parentPort?.postMessage("hangs");
  for (;;) i32[countAt + 1] = i32[countAt + 1]! ^ 1;
}
