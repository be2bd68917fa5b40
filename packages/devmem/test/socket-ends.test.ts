import { type NetmemRef, returnNetmem } from "@netmem/core";
import { expect, test } from "vitest";
import { createDevmemAllocator, DevmemSocket, MSG_SOCK_DEVMEM, RECORD_WORDS } from "../src/index.ts";
import { makeWorld, TestPackets } from "./fixture.ts";
import { SlowMemory } from "./slow-memory.ts";

test("any number of packets whose bytes never landed is dropped by one receive", async () => {
  const { host, devmem, device } = makeWorld();
  const memory = new SlowMemory(1);
  const binding = devmem.bindRx({ device, queues: [0], memory });
  const ref = createDevmemAllocator(host, binding).allocNetmem() as NetmemRef;
  const packets = new TestPackets(() => {});
  const socket = new DevmemSocket(devmem, { packets, maxPackets: 65536 });
  binding.landing.write(0, 0, new Uint8Array(100), 0, 100);
  binding.landing.flush();
  memory.commits[0]!.fail();
  await binding.landing.settled();
  const packet = { data: 0, headLen: 0, frags: [{ ref, offset: 0, len: 100 }], unreadable: true };
  for (let n = 0; n < 65536; n++) socket.enqueue(packets.add(packet));
  expect(socket.recv(new Uint8Array(0), new Int32Array(RECORD_WORDS), MSG_SOCK_DEVMEM, 1000)).toBe(0);
  expect([socket.stats().failed, socket.stats().packets, packets.live.size]).toEqual([65536, 0, 0]);
  returnNetmem(host, ref);
});

test("a socket of a consumer that has gone already is closed, and nobody wakes it", () => {
  const { devmem } = makeWorld();
  let listeners = 0;
  const onLanded = devmem.onLanded.bind(devmem);
  devmem.onLanded = (wake) => {
    const stop = onLanded(wake);
    listeners++;
    return () => {
      listeners--;
      stop();
    };
  };
  const packets = new TestPackets(() => {});
  const live = new DevmemSocket(devmem, { packets, signal: new AbortController().signal });
  expect(listeners).toBe(1);
  const closed = new DevmemSocket(devmem, { packets, signal: AbortSignal.abort() });
  expect([listeners, closed.enqueue(1), closed.close()]).toEqual([1, false, 0]);
  live.close();
  expect(listeners).toBe(0);
});
