import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { type NetmemRef, returnNetmem } from "@netmem/core";
import { expect, test } from "vitest";
import {
  createDevmemAllocator,
  createTokenRing,
  DevmemSocket,
  MSG_SOCK_DEVMEM,
  RECORD_TOKEN,
  RECORD_WORDS,
} from "../src/index.ts";
import { makeWorld, TestPackets } from "./fixture.ts";

const PACKETS = 400;
const FRAGS = 8;

test("an application on another thread returns its tokens through the ring, and every page comes home", async () => {
  const { host, devmem, device, memory } = makeWorld(256);
  const binding = devmem.bindRx({ device, queues: [0], memory });
  const allocator = createDevmemAllocator(host, binding);
  const ringAt = createTokenRing(host, 16);
  const worker = new Worker(new URL("token-thread.ts", import.meta.url), {
    workerData: { shared: host.share(), ringAt },
  });
  await once(worker, "message");
  const packets = new TestPackets((ref) => returnNetmem(host, ref as NetmemRef));
  const socket = new DevmemSocket(devmem, { packets, returnRing: ringAt });
  const records = new Int32Array(FRAGS * RECORD_WORDS);
  const deadline = Date.now() + 30_000;
  let received = 0;
  for (let sent = 0; sent < PACKETS && Date.now() < deadline;) {
    const refs = Array.from({ length: FRAGS }, () => allocator.allocNetmem()).filter((ref) => ref !== 0);
    if (refs.length === FRAGS) {
      const frags = refs.map((ref) => ({ ref, offset: 0, len: 100 }));
      socket.enqueue(packets.add({ data: 0, headLen: 0, frags, unreadable: true }));
      sent++;
    } else for (const ref of refs) returnNetmem(host, ref as NetmemRef);
    socket.recv(new Uint8Array(0), records, MSG_SOCK_DEVMEM, 1e9);
    const tokens = Array.from({ length: socket.recordCount }, (_, n) => records[n * RECORD_WORDS + RECORD_TOKEN]!);
    received += tokens.length;
    if (tokens.length > 0) worker.postMessage(tokens);
    if (refs.length < FRAGS) await new Promise((resolve) => setImmediate(resolve));
  }
  while (allocator.inflight() > 0 && Date.now() < deadline) {
    socket.drainReturns();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect([received, allocator.inflight()]).toEqual([PACKETS * FRAGS, 0]);
  expect(socket.stats()).toMatchObject({ tokens: 0, returned: PACKETS * FRAGS, unknown: 0, lost: 0 });
  await worker.terminate();
});

test("an application that dies in the middle loses nothing once its socket is closed", async () => {
  const { host, devmem, device, memory } = makeWorld(64);
  const binding = devmem.bindRx({ device, queues: [0], memory });
  const allocator = createDevmemAllocator(host, binding);
  const ringAt = createTokenRing(host, 16);
  const worker = new Worker(new URL("token-thread.ts", import.meta.url), {
    workerData: { shared: host.share(), ringAt },
  });
  await once(worker, "message");
  const packets = new TestPackets((ref) => returnNetmem(host, ref as NetmemRef));
  const gone = new AbortController();
  const socket = new DevmemSocket(devmem, { packets, returnRing: ringAt, signal: gone.signal });
  worker.once("exit", () => gone.abort());
  const frags = Array.from({ length: FRAGS }, () => ({ ref: allocator.allocNetmem(), offset: 0, len: 10 }));
  socket.enqueue(packets.add({ data: 0, headLen: 0, frags, unreadable: true }));
  const records = new Int32Array(FRAGS * RECORD_WORDS);
  socket.recv(new Uint8Array(0), records, MSG_SOCK_DEVMEM, 1e9);
  expect(allocator.inflight()).toBe(FRAGS);
  await worker.terminate();
  expect([allocator.inflight(), socket.stats().tokens]).toEqual([0, 0]);
});
