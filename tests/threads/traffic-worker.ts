/** The other threads of `traffic.ts`: take buffers, use them, return them in one way or another. */
import { asNetmemRef, flushReturns, holdReturns, type Host, returnNetmem, returnNetmemBulk } from "@netmem/core";
import { ChannelReceiver, ChannelSender, createReturnsWith } from "@netmem/ring";
import { Prng } from "@netmem/testing";
import { attachHost, createPagePool } from "netmem";
import { parentPort, workerData } from "node:worker_threads";
import { IDLE_MS, STOP, SUPPLY_BATCH, type WorkerInput } from "./traffic-input.ts";

const input = workerData as WorkerInput;
const host = attachHost(input.shared, {
  name: `traffic ${input.seed}`,
  returns: createReturnsWith({ ringSize: input.ringSize }),
});
const prng = new Prng(input.seed);
const refs = new Int32Array(64);

function giveBack(count: number): void {
  const way = prng.below(4);
  if (way < 2) returnNetmemBulk(host, refs, count);
  else if (way === 2) for (let n = 0; n < count; n++) returnNetmem(host, asNetmemRef(refs[n]!));
  else {
    holdReturns(host);
    try {
      for (let n = 0; n < count; n++) returnNetmem(host, asNetmemRef(refs[n]!));
    } finally {
      flushReturns(host);
    }
  }
}

/** Buffers of a pool of its own, for the main thread to return. */
function makeSupply(at: number, made: Host): { send: () => void; finish: () => Promise<void> } {
  const pool = createPagePool(made, { name: `supply of worker ${made.workerId}`, poolSize: 64 });
  const out = new ChannelSender(made, at);
  const batch = new Int32Array(SUPPLY_BATCH);
  return {
    send: () => {
      if (pool.inflight() > 512) {
        made.drainInbox();
        return;
      }
      const count = pool.allocBulk(batch, prng.range(1, SUPPLY_BATCH));
      const sent = out.sendBatch(batch, 0, count);
      for (let n = sent; n < count; n++) pool.putFullPage(asNetmemRef(batch[n]!));
    },
    finish: async () => {
      out.close();
      pool.destroy();
      await pool.drained();
    },
  };
}

async function run(): Promise<void> {
  const receiver = new ChannelReceiver(host, input.channelAt);
  const supply = input.supplyAt === 0 ? null : makeSupply(input.supplyAt, host);
  parentPort?.postMessage(host.workerId);
  for (;;) {
    const count = receiver.receive(refs, prng.range(1, 64));
    if (count > 0) giveBack(count);
    else if (Atomics.load(host.i32, input.controlAt + STOP) !== 0) break;
    else Atomics.wait(host.i32, input.controlAt + STOP, 0, IDLE_MS);
    if (supply !== null && prng.below(4) === 0) supply.send();
  }
  receiver.close();
  // A port that somebody listens to keeps the thread alive while it waits for its buffers.
  const stay = (): void => {};
  parentPort?.on("message", stay);
  await supply?.finish();
  host.detach();
  parentPort?.off("message", stay);
}

await run();
