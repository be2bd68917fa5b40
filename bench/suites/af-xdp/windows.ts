import { AbsentError, type SampleOptions, type TimedSample } from "../../suite.ts";

const WARM_MS = 300;
const START_MS = 5000;
/** Turns between two looks at the clock, as in the C program. */
const TIME_CHECKS = 16;

/** One side of a cable at work. */
export interface Side {
  /** One burst, or an attempt at one. */
  turn(): void;
  /** Packets so far. */
  packets(): number;
  close(): void;
}

/** Warms up, then measures windows of time: all of it, this thread's on a CPU, and its share outside the kernel. */
export function takeWindows(side: Side, { samples, minMs }: SampleOptions): TimedSample[] {
  // The sender is a thread that may still be starting.
  const giveUpMs = performance.now() + START_MS;
  while (side.packets() === 0 && performance.now() < giveUpMs) runFor(side, 1);
  runFor(side, WARM_MS);
  return Array.from({ length: samples }, () => takeWindow(side, minMs));
}

function takeWindow(side: Side, ms: number): TimedSample {
  const before = side.packets();
  const cpuBefore = process.threadCpuUsage();
  const fromMs = performance.now();
  runFor(side, ms);
  const tookNs = (performance.now() - fromMs) * 1e6;
  const { user, system } = process.threadCpuUsage(cpuBefore);
  const packets = side.packets() - before;
  if (packets === 0) throw new AbsentError("no packets came");
  return { ns: tookNs / packets, cpuNs: ((user + system) * 1e3) / packets, userNs: (user * 1e3) / packets };
}

function runFor(side: Side, ms: number): void {
  const endMs = performance.now() + ms;
  do {
    for (let n = 0; n < TIME_CHECKS; n++) side.turn();
  } while (performance.now() < endMs);
}
