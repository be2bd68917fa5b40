/* The ways to wait for packets. */
import { XdpVerdict } from "@netmem/netdev";
import { expect, test } from "vitest";
import { RxLoop } from "../src/index.ts";
import type { Stand, StandParams } from "./fixture.ts";
import { PacketSocket } from "./packet-socket.ts";
import { useStands } from "./stands.ts";

const { cleanups, stand: makeStand } = useStands();

function stand(params: StandParams = {}): Stand & { readonly far: PacketSocket } {
  const made = makeStand(params);
  const far = new PacketSocket(made.system, made.net.far);
  cleanups.push(() => far.close());
  return { ...made, far };
}

const frame = (n: number): Uint8Array => new Uint8Array(60).fill(n);

test("spinning and sleeping get the same packets; sleeping ends with its timeout", () => {
  const { device, scheduler, far, afXdp, drivers } = stand({ testnet: { queues: 2 } });
  device.setProgram(() => XdpVerdict.Drop);
  device.open();
  const loop = new RxLoop(afXdp, scheduler, drivers);
  const startMs = performance.now();
  expect(loop.pollOnce(30)).toBe(0);
  expect(performance.now() - startMs).toBeGreaterThan(20);
  for (const wait of ["poll", "spin"] as const) {
    const from = device.getStats().reduce((sum, { rxPackets }) => sum + rxPackets, 0);
    for (let n = 0; n < 200; n++) far.send(frame(n));
    const packets = (): number => device.getStats().reduce((sum, { rxPackets }) => sum + rxPackets, 0) - from;
    const endMs = performance.now() + 2000;
    loop[wait](() => packets() === 200 || performance.now() > endMs);
    expect(packets()).toBe(200);
  }
});

test("a loop that sleeps takes completions, too", () => {
  const { device, scheduler, far, afXdp, drivers } = stand();
  device.setProgram(() => XdpVerdict.Tx);
  device.open();
  const loop = new RxLoop(afXdp, scheduler, drivers);
  far.send(frame(1));
  const endMs = performance.now() + 2000;
  loop.poll(() => device.getStats()[0]!.txPackets === 1 || performance.now() > endMs);
  expect([far.takeAll().length, drivers[0]!.txPendingCount]).toEqual([1, 1]);
  loop.pollOnce(1);
  expect(drivers[0]!.txPendingCount).toBe(0);
});

test("the event loop gets them, beside other work, and stops", async () => {
  const made = stand();
  const { device, far, afXdp, drivers, scheduler } = made;
  device.setProgram(() => XdpVerdict.Drop);
  device.open();
  const loop = new RxLoop(afXdp, scheduler, drivers);
  // Without a kick of its own the scheduler is run by the timer that the test turns.
  const timer = setInterval(() => scheduler.runUntilIdle(), 1);
  loop.start();
  loop.start();
  for (let n = 0; n < 100; n++) far.send(frame(n));
  const endMs = performance.now() + 2000;
  while (device.getStats()[0]!.rxPackets < 100 && performance.now() < endMs) {
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
  loop.stop();
  loop.stop();
  clearInterval(timer);
  expect(device.getStats()[0]!.rxPackets).toBe(100);
});
