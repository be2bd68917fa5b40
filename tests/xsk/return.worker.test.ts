import { MemType } from "@netmem/core";
import { createSpscRing, SpscProducer } from "@netmem/ring";
import {
  checkXskInvariants,
  createUmem,
  type Umem,
  xskFlush,
  XskKernel,
  xskRcv,
  XskRings,
  type XskSocket,
} from "@netmem/xsk";
import { createHost } from "netmem";
import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import type { ReturnInput } from "./return-thread.ts";

const COUNT = 50_000;
const FRAMES = 512;
const IFINDEX = 1;

function openSocket(umem: Umem): XskSocket {
  const kernel = new XskKernel(umem.host);
  kernel.addDevice({ ifindex: IFINDEX, queueCount: 1 });
  const socket = kernel.createSocket();
  socket.registerUmem(umem);
  for (const ring of ["fill", "completion", "rx", "tx"] as const) socket.setRing(ring, 256);
  socket.bind({ ifindex: IFINDEX, queueIdx: 0 });
  return socket;
}

test("50,000 XSK frames received here and returned by another thread, each once, and posted again", async () => {
  const host = createHost({ arenaBytes: 32 * 2 ** 20 });
  const umem = createUmem(host, { ownBytes: FRAMES * 2048, chunkSizeBytes: 2048 });
  const frames = umem.frames!;
  expect(host.owners.typeOf(frames.ownerId)).toBe(MemType.XskBuffPool);
  const socket = openSocket(umem);
  const rings = new XskRings(umem, socket.layouts);
  const ring = new SpscProducer(host.i32, createSpscRing(host, 1024));
  const input: ReturnInput = { shared: host.share(), ringAt: ring.at, count: COUNT };
  const worker = new Worker(new URL("./return-thread.ts", import.meta.url), { workerData: input });
  const answer = once(worker, "message");
  const refs = new Int32Array(64);
  const packet = new Uint8Array(64);
  let received = 0;
  let sum = 0;
  for (let turn = 0; received < COUNT; turn++) {
    const want = Math.min(64, COUNT - received, rings.fillRoom(64));
    rings.post(refs, frames.allocBulk(refs, want));
    for (let n = 0; n < 64 && received + n < COUNT; n++) {
      packet[0] = (received + n) & 255;
      if (xskRcv(socket, IFINDEX, 0, packet, 0, 64, 0) !== 0) break;
    }
    xskFlush(socket);
    const n = rings.receive(64);
    for (let k = 0; k < n; k++) {
      sum += host.u8[rings.offsets[k]!]!;
      // Shown in pairs only.
      while (ring.room() < 2) ring.publish();
      ring.push(rings.refs[k]!);
      ring.push(rings.offsets[k]!);
    }
    ring.publish();
    received += n;
    host.drainInbox();
    if (turn % 64 === 0) await setImmediate();
  }
  const [seen] = (await answer) as [number];
  for (let tries = 0; frames.outCount > umem.census().fillPosted && tries < 1000; tries++) {
    host.drainInbox();
    await setImmediate();
  }
  expect([received, seen]).toEqual([COUNT, sum]);
  checkXskInvariants(umem, [rings]);
  rings.close();
  socket.close();
  rings.released();
  expect([frames.freeCount, frames.outCount]).toEqual([FRAMES, 0]);
  umem.dispose();
});
