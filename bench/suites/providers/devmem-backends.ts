/** Packets of 4 KiB into device memory, batches of 1 MiB, one after the other: what a landing adds to a bare write. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createHostMemory } from "@netmem/devmem";
import { openFileMemory } from "@netmem/devmem-file";
import { softwareDriverEnv } from "@netmem/devmem-webgpu/software-driver";
import { AbsentError, type Ratio, type SampleOptions, type ScriptRow } from "../../suite.ts";
import {
  BATCH_PACKETS,
  landingBatches,
  MEMORY_BYTES,
  newPackets,
  PACKET_BYTES,
  sampleBatches,
} from "./landing-load.ts";

const CHILD = fileURLToPath(new URL("webgpu-child.ts", import.meta.url));
const BATCH_BYTES = BATCH_PACKETS * PACKET_BYTES;

function row(name: string, measure: (options: SampleOptions) => Promise<number[]>): ScriptRow {
  return { kind: "script", name, unit: "ns/packet", measure };
}

/** Calls `work` with the path of a file that is gone afterwards; in memory where the system has such a folder. */
async function withFile<Result>(work: (path: string) => Promise<Result>): Promise<Result> {
  const dir = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "netmem-bench-"));
  try {
    return await work(join(dir, "payload"));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** Copied to a buffer, and written: what one would do without all this. */
const writevPacked = row("writev_packed", (options) =>
  withFile(async (path) => {
    const packets = newPackets();
    const staging = Buffer.alloc(BATCH_BYTES);
    const file = await open(path, "w");
    const samples = await sampleBatches((n) => {
      for (let at = 0; at < BATCH_BYTES; at += PACKET_BYTES) {
        const from = (n * BATCH_BYTES + at) % packets.length;
        staging.set(packets.subarray(from, from + PACKET_BYTES), at);
      }
      return file.writev([staging], (n * BATCH_BYTES) % MEMORY_BYTES);
    }, options);
    await file.close();
    return samples;
  }),
);

const devmemFile = row("landing_file", (options) =>
  withFile(async (path) => {
    const memory = await openFileMemory({ path, sizeBytes: MEMORY_BYTES });
    const samples = await sampleBatches(landingBatches(memory), options);
    await memory.close();
    return samples;
  }),
);

const devmemHost = row("landing_host", (options) =>
  sampleBatches(landingBatches(createHostMemory({ sizeBytes: MEMORY_BYTES })), options),
);

interface ChildOutcome {
  readonly samples?: number[];
  readonly reason?: string;
}

/** In a process of its own: drivers are found by the environment that a process starts with. */
function runChild({ samples, minMs }: SampleOptions, env: object): ChildOutcome {
  const { stdout, stderr, status } = spawnSync(process.execPath, [CHILD, String(samples), String(minMs)], {
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as ChildOutcome;
}

const devmemWebGpu = row("landing_webgpu", async (options) => {
  const first = runChild(options, {});
  const software = softwareDriverEnv();
  const { samples, reason } = first.samples === undefined && software !== null ? runChild(options, software) : first;
  if (samples === undefined) throw new AbsentError(reason ?? "no GPU");
  return samples;
});

export const backendRows: readonly ScriptRow[] = [writevPacked, devmemFile, devmemHost, devmemWebGpu];
/** Throughput of the second over that of the first. With a software driver the GPU's is this machine's memory. */
export const backendRatios: readonly Ratio[] = [
  { name: "devmem_file_vs_writev", of: ["writev_packed", "landing_file"], bar: ">=0.8" },
  { name: "webgpu_vs_hostonly", of: ["landing_host", "landing_webgpu"] },
];
