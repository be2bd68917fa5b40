/** Blocks the thread. For waits on the kernel that take milliseconds and happen at setup only. */
export function sleepMs(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
