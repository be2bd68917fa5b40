import { parentPort, workerData } from "node:worker_threads";
import { attachHost, type SharedHost } from "@netmem/core";
import { attachPageAllocator } from "@netmem/mm";
import { createReturns } from "@netmem/ring";
import { VirtualClock } from "@netmem/testing";
import { asSkbRef, consumeSkb, DropReason, dropSkb, type SharedSkbSlab, SkbSlab, SkbView } from "../src/index.ts";

/** What the thread gets: skbs come as messages. */
export interface SkbThreadInput {
  readonly shared: SharedHost;
  readonly slab: SharedSkbSlab;
}

/** What it answers to each message; an empty one ends it. */
export interface SkbThreadReport {
  /** Bytes of the packets, which it read in place. */
  readonly sum: number;
  /** Codes of what it may not do. */
  readonly codes: readonly string[];
}

const input = workerData as SkbThreadInput;
const host = attachHost(input.shared, {
  clock: new VirtualClock(),
  pageAllocator: attachPageAllocator,
  returns: createReturns,
});
const slab = new SkbSlab(host, input.slab);
const view = new SkbView(slab);

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "none";
}

function takeAll(skbs: Int32Array): SkbThreadReport {
  let sum = 0;
  for (const [n, skb] of skbs.entries()) {
    const ref = asSkbRef(skb);
    sum = (sum + (host.u8[view.of(ref).data] ?? 0)) | 0;
    if (n % 2 === 0) consumeSkb(slab, ref);
    else dropSkb(slab, ref, DropReason.NoSocket);
  }
  const last = asSkbRef(skbs[0] ?? 0);
  return {
    sum,
    codes: [codeOf(() => slab.alloc()), codeOf(() => slab.dispose()), codeOf(() => consumeSkb(slab, last))],
  };
}

parentPort?.on("message", (skbs: Int32Array) => {
  if (skbs.length === 0) {
    host.detach();
    parentPort?.close();
  } else parentPort?.postMessage(takeAll(skbs));
});
