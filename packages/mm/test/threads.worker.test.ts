import { asPageRef, type Host, lockHolder } from "@netmem/core";
import { Prng } from "@netmem/testing";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { LOCK } from "../src/allocator-words.ts";
import type { ChurnInput } from "./churn-thread.ts";
import { churn } from "./churn.ts";
import { audit, blockCounts, createTestHost, scanOut } from "./test-host.ts";

const seed = Number(process.env["NETMEM_SEED"] || Math.floor(Math.random() * 2 ** 31));
console.log(`churn: NETMEM_SEED=${seed}`);

function createMailbox(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(64 * 4));
}

function start(host: Host, mailbox: Int32Array, seed: number, rounds: number): Worker {
  const workerData: ChurnInput = { shared: host.share(), mailbox, seed, rounds };
  return new Worker(new URL("./churn-thread.ts", import.meta.url), { workerData });
}

/** Frees what nobody took out of the mailbox. The living take the stamp off before they put a page in. */
function emptyMailbox(host: Host, mailbox: Int32Array): void {
  for (let slot = 0; slot < mailbox.length; slot++) {
    const ref = Atomics.exchange(mailbox, slot, 0);
    if (ref !== 0) host.pages.freePage(asPageRef(ref));
  }
}

test.each([1, 2])(
  "four threads on %i node(s) take, pass on and free 200,000 times: all pages are home",
  async (nodes) => {
    const subject = createTestHost({ arenaBytes: nodes * 16 * 2 ** 20, nodes });
    const { host, pages } = subject;
    const initial = blockCounts(pages);
    const mailbox = createMailbox();
    const rounds = 50_000;
    const workers = [1, 2, 3].map((n) => start(host, mailbox, seed + n, rounds));
    const exits = workers.map((worker) => once(worker, "exit"));
    churn(host, mailbox, new Prng(seed), rounds);
    for (const [code] of await Promise.all(exits)) expect(code).toBe(0);
    emptyMailbox(host, mailbox);
    pages.drainList();
    audit(subject, new Map());
    expect(blockCounts(pages)).toEqual(initial);
  },
);

test("workers are terminated at work: what they had not got out yet is reclaimed, the rest is as it was", async () => {
  const subject = createTestHost({ arenaBytes: 32 * 2 ** 20 });
  const { host, pages } = subject;
  const mailbox = createMailbox();
  const prng = new Prng(seed);
  let locks = 0;
  let listed = 0;
  for (let death = 0; death < 20; death++) {
    const worker = start(host, mailbox, seed + death, 2 ** 30);
    const [workerId] = (await once(worker, "message")) as [number];
    churn(host, mailbox, prng, 1 + prng.below(5000));
    await worker.terminate();
    const report = host.reclaim(workerId);
    locks += Number(report.pages?.heldLock);
    listed += report.pages?.listedPages ?? 0;
    expect(lockHolder(host.i32, host.layout.allocatorAt + LOCK)).toBe(-1);
    audit(subject, scanOut(subject));
  }
  emptyMailbox(host, mailbox);
  const lost = scanOut(subject);
  const blocks = [...lost.values()].length;
  console.log(`20 deaths: ${locks} with the lock, ${listed} pages on lists; ${blocks} blocks were held by the dead`);
  audit(subject, lost);
  // All the others can be used.
  const room = pages.freePageCount();
  const refs = new Int32Array(room);
  expect(pages.allocBulk(refs, room)).toBe(room);
  pages.freeBulk(refs, room);
  audit(subject, lost);
});
