import { attachHost, type AttachParams, type Host } from "@netmem/core";
import { attachPageAllocator } from "@netmem/mm";
import { createReturns } from "@netmem/ring";
import { VirtualClock } from "@netmem/testing";
import { type Bench, makeBench } from "./fixture.ts";

/** A host and other threads of it, played on one: what each does to the arena is the same, one step after the other. */
export interface ThreadBench extends Bench {
  readonly workers: readonly Host[];
}

/** A host with `count` threads attached. */
export function makeThreads(count: number, params: Parameters<typeof makeBench>[0] = {}): ThreadBench {
  const bench = makeBench({ returns: createReturns, ...params });
  const workers = Array.from({ length: count }, (_, n) => attachTo(bench, { name: `worker ${n + 1}` }));
  return { ...bench, workers };
}

/** One more thread, with a clock of its own that nobody turns: a thread that plays dead does nothing later. */
export function attachTo(bench: Bench, params: Partial<AttachParams> = {}): Host {
  return attachHost(bench.host.share(), {
    clock: new VirtualClock(),
    pageAllocator: attachPageAllocator,
    returns: createReturns,
    ...params,
  });
}
