/**
 * Two workers that each allocate and return from a pool of their own, against one alone; and the same with arithmetic,
 * which shows what the machine gives to a second thread. A sample is how much slower each of the two is.
 */

import { createHost } from "netmem";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { ScriptRow } from "../../suite.ts";
import type { ScalingInput } from "./scaling-thread.ts";

const ARENA_BYTES = 64 * 2 ** 20;
const WARM_UP_RUNS = 5;
/** A start that is late by so many nanoseconds must not count: samples are at least this long. */
const MIN_MS = 20;

interface Answer {
  readonly nsPerTurn: number;
}

async function startThread(input: ScalingInput): Promise<Worker> {
  const thread = new Worker(new URL("scaling-thread.ts", import.meta.url), { workerData: input });
  await once(thread, "message");
  return thread;
}

/** The mean time of a turn when these threads all do so many. */
async function runTogether(threads: readonly Worker[], turns: number): Promise<number> {
  const answers = threads.map(async (thread) => {
    const answer = once(thread, "message");
    thread.postMessage(turns);
    return ((await answer) as [Answer])[0].nsPerTurn;
  });
  const times = await Promise.all(answers);
  return times.reduce((sum, ns) => sum + ns, 0) / times.length;
}

async function sampleSlowdowns(input: ScalingInput, samples: number, minMs: number): Promise<number[]> {
  const threads = [await startThread(input), await startThread(input)];
  try {
    let turns = 100_000;
    for (let n = 0; n < WARM_UP_RUNS; n++) {
      const ns = await runTogether(threads, turns);
      turns = Math.ceil((Math.max(minMs, MIN_MS) * 1e6) / ns);
    }
    const taken: number[] = [];
    for (let n = 0; n < samples; n++) {
      const alone = await runTogether([threads[n % 2]!], turns);
      taken.push((await runTogether(threads, turns)) / alone);
    }
    return taken;
  } finally {
    for (const thread of threads) await thread.terminate();
  }
}

function slowdownRow(name: string, makeInput: () => ScalingInput): ScriptRow {
  return {
    kind: "script",
    name,
    unit: "x of one alone",
    measure: ({ samples, minMs }) => sampleSlowdowns(makeInput(), samples, minMs),
  };
}

export const scalingRows: readonly ScriptRow[] = [
  slowdownRow("two_workers_slowdown", () => ({ shared: createHost({ arenaBytes: ARENA_BYTES }).share() })),
  slowdownRow("two_alu_slowdown", () => ({ shared: null })),
];
