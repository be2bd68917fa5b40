/** Reads the first byte of every buffer that comes, and returns it from this thread. */
import { asNetmemRef, returnNetmem, type SharedHost } from "@netmem/core";
import { SpscConsumer } from "@netmem/ring";
import { attachHost } from "netmem";
import { parentPort, workerData } from "node:worker_threads";

export interface ReturnInput {
  readonly shared: SharedHost;
  readonly ringAt: number;
  readonly count: number;
}

function run({ shared, ringAt, count }: ReturnInput): number {
  const host = attachHost(shared, { name: "xsk returner" });
  const ring = new SpscConsumer(host.i32, ringAt);
  const words = new Int32Array(64);
  let sum = 0;
  for (let done = 0; done < count;) {
    const n = ring.consumeBatch(words, 0, 64);
    for (let k = 0; k < n; k += 2) {
      sum = (sum + host.u8[words[k + 1]!]!) | 0;
      returnNetmem(host, asNetmemRef(words[k]!));
    }
    done += n >> 1;
  }
  host.detach();
  return sum;
}

if (parentPort !== null) parentPort.postMessage(run(workerData as ReturnInput));
