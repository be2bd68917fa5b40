import { asNetmemRef } from "@netmem/core";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { ADDR_BYTES, checkXskInvariants, DESC_BYTES, XskRings } from "../src/index.ts";
import { makeHost, makeRing, makeUmem } from "./fixture.ts";
import { type KernelInput, lengthFor } from "./kernel-thread.ts";

const COUNT = 300_000;
const ENTRIES = 64;
const NEAR_WRAP = 0xfffff000;

test("300,000 packets in and out, the kernel in another thread: every frame home, every length right, nothing refused", async () => {
  const host = makeHost();
  const umem = makeUmem(host, { ownBytes: 256 * 4096 });
  const layouts = {
    fill: makeRing(host, ENTRIES, ADDR_BYTES, NEAR_WRAP),
    completion: makeRing(host, ENTRIES, ADDR_BYTES, NEAR_WRAP),
    rx: makeRing(host, ENTRIES, DESC_BYTES, NEAR_WRAP),
    tx: makeRing(host, ENTRIES, DESC_BYTES, NEAR_WRAP),
  };
  const input: KernelInput = { buffer: host.memory.buffer as SharedArrayBuffer, layouts, count: COUNT };
  const worker = new Worker(new URL("./kernel-thread.ts", import.meta.url), { workerData: input });
  const rings = new XskRings(umem, layouts);
  const refs = new Int32Array(32);
  const waiting: number[] = [];
  let posted = 0;
  let received = 0;
  let wrong = 0;
  let completed = 0;
  while (received < COUNT || completed < COUNT) {
    const want = Math.min(32, COUNT - posted, rings.fillRoom(32));
    posted += rings.post(refs, umem.frames!.allocBulk(refs, want));
    const n = rings.receive(64);
    for (let k = 0; k < n; k++) {
      const at = rings.offsets[k]! - umem.offset;
      if (rings.lengths[k] !== lengthFor(at - 256, received++) || (at & 4095) !== 256) wrong++;
      waiting.push(rings.refs[k]!, rings.offsets[k]!, rings.lengths[k]!);
    }
    while (waiting.length > 0 && rings.transmitOne(asNetmemRef(waiting[0]!), waiting[1]!, waiting[2]!)) {
      waiting.splice(0, 3);
    }
    rings.submitTx();
    completed += rings.complete(64);
  }
  const [corrupt] = (await once(worker, "message")) as [number];
  expect([corrupt, wrong, posted, received, completed]).toEqual([0, 0, COUNT, COUNT, COUNT]);
  expect(rings.stats()).toEqual({ rxBadAddr: 0, rxBroken: 0, completionBadAddr: 0, txRefused: 0, corrupt: 0 });
  expect(umem.census()).toEqual({ total: 256, user: 256, fillPosted: 0, txPosted: 0 });
  checkXskInvariants(umem, [rings]);
});
