import { deviceMemorySuite } from "@netmem/devmem/conformance";
import { runSuite } from "@netmem/testing";
import { deviceMemorySubject, GpuSubject } from "./gpu-subject.ts";
import { webgpuSuite } from "./webgpu-suite.ts";

export interface CaseResult {
  readonly name: string;
  /** Null when it passed. */
  readonly error: string | null;
}

type Case = readonly [name: string, run: () => Promise<void>];

/** All cases that a GPU must pass, wherever it is. */
export function gpuCases(): Case[] {
  const cases: Case[] = [];
  const register = (name: string, run: () => Promise<void>): void => void cases.push([name, run]);
  runSuite(deviceMemorySuite, () => deviceMemorySubject, register);
  runSuite(webgpuSuite, { make: () => new GpuSubject(), release: (subject) => subject.release() }, register);
  return cases;
}

export async function runGpuCases(): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  for (const [name, run] of gpuCases()) {
    let error: string | null = null;
    try {
      await run();
    } catch (cause) {
      error = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    }
    results.push({ name, error });
  }
  return results;
}
