import { setImmediate } from "node:timers/promises";
import { RxLoop } from "@netmem/af-xdp";
import type { AfXdpOptions } from "./options.ts";
import type { Stand } from "./stand.ts";

/** A blocking wait lets signals and timers in that often. */
const SLICE_MS = 50;

/**
 * Drives the stand's queues as the options say, until their time or their packets are over, or a signal comes. `onSlice`
 * is called about 20 times a second.
 */
export async function run(stand: Stand, options: AfXdpOptions, onSlice?: () => void): Promise<void> {
  const loop = new RxLoop(stand.afXdp, stand.scheduler, stand.drivers);
  const endMs = performance.now() + options.seconds * 1000;
  const received = (): number => stand.device.getStats().reduce((sum, { rxPackets }) => sum + rxPackets, 0);
  const stopped = new AbortController();
  const stop = (): void => stopped.abort();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  if (options.wait === "events") loop.start();
  try {
    while (!stopped.signal.aborted && performance.now() < endMs && received() < options.packets) {
      await slice(loop, options.wait);
      onSlice?.();
    }
  } finally {
    loop.stop();
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}

async function slice(loop: RxLoop, wait: AfXdpOptions["wait"]): Promise<void> {
  const endMs = performance.now() + SLICE_MS;
  const isOver = (): boolean => performance.now() >= endMs;
  if (wait === "spin") loop.spin(isOver);
  else if (wait === "poll") while (!isOver()) loop.pollOnce(SLICE_MS);
  if (wait !== "events") return setImmediate();
  return new Promise((resolve) => {
    setTimeout(resolve, SLICE_MS);
  });
}
