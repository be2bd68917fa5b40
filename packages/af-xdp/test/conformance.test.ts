/* The suite that every driver passes, over a cable of the real kernel. */
import { Errno } from "@netmem/linux";
import { type DriverSubject, driverSuite } from "@netmem/netdev/conformance";
import { runSuite } from "@netmem/testing";
import { describe, test } from "vitest";
import { type AfXdpPortParams, type AfXdpQueue } from "../src/index.ts";
import { makeStand, type Stand, whyNoAfXdp } from "./fixture.ts";
import { PacketSocket } from "./packet-socket.ts";

const whyNot = whyNoAfXdp();
const ARRIVAL_MS = 1000;
/** What stays in its page, and what the kernel puts into one. */
const BUFFER_BYTES = 3520;
const KERNEL_BYTES = 3840;

interface Subject extends DriverSubject {
  readonly stand: Stand;
  readonly far: PacketSocket;
}

/** Packets that the kernel put onto the RX ring or dropped, so far. */
function progress(queue: AfXdpQueue): { readonly arrived: number; readonly lost: number } {
  const { rxDropped, rxRingFull, rxFillRingEmptyDescs } = queue.statistics();
  return {
    arrived: queue.socket!.rings.census().fillPosted.rxRing,
    lost: rxDropped + rxRingFull + rxFillRingEmptyDescs,
  };
}

/** Sends a frame towards the queue and waits for what becomes of it. */
function inject(far: PacketSocket, queue: AfXdpQueue, frame: Uint8Array): boolean {
  if (queue.socket === null) return far.send(frame) < 0;
  const before = progress(queue);
  if (far.send(frame) < 0) return false;
  const endMs = performance.now() + ARRIVAL_MS;
  while (performance.now() < endMs) {
    const now = progress(queue);
    if (now.arrived > before.arrived) return true;
    if (now.lost > before.lost) return false;
  }
  return false;
}

function makeSubject(port: Partial<AfXdpPortParams>): Subject {
  const stand = makeStand({ testnet: { mtuBytes: 12_000 }, port });
  const { afXdp, clock, device, port: opened } = stand;
  const far = new PacketSocket(stand.system, stand.net.far);
  const queue = opened.queue(0);
  const kickTx = afXdp.wakeup.kickTx.bind(afXdp.wakeup);
  const poll = (): void => void (device.isUp && device.queues[0]!.napi.schedule());
  return {
    ...stand,
    stand,
    far,
    bufferBytes: BUFFER_BYTES,
    fragsOf: (lenBytes) => (lenBytes <= BUFFER_BYTES ? 0 : Math.ceil(lenBytes / KERNEL_BYTES)),
    ringSize: 256,
    inject: (frame) => {
      const isTaken = inject(far, queue, frame);
      poll();
      return isTaken;
    },
    takeSent: () => far.takeAll(),
    pauseWire: (paused) => {
      afXdp.wakeup.kickTx = paused ? () => -Errno.EAGAIN : kickTx;
      poll();
    },
    passTime: (ms) => {
      afXdp.settle();
      clock.advance(ms);
    },
  };
}

function release({ stand, far }: Subject): void {
  far.close();
  stand.close();
}

describe.for(["native", "skb"] as const)("%s mode", (attach) => {
  runSuite(driverSuite, { make: () => makeSubject({ attach }), release }, (name, run) => {
    test(name, async (context) => {
      if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
      await run();
    });
  });
});
