import type { DeviceMemory } from "@netmem/devmem";
import type { SampleOptions } from "../../suite.ts";

export const PACKET_BYTES = 4096;
/** Packets of one batch: 1 MiB. */
export const BATCH_PACKETS = 256;
export const MEMORY_BYTES = 64 * 2 ** 20;
/** Packets of one landing: 256 KiB in a row, as a binding collects them. */
const LANDING_PACKETS = 64;
const MEMORY_BATCHES = MEMORY_BYTES / (BATCH_PACKETS * PACKET_BYTES);

/** Where packets come from: more bytes than a cache of a core holds. */
export function newPackets(): Uint8Array {
  return new Uint8Array(16 * 2 ** 20).fill(7);
}

/** Has `batch(n)` done over and over, each after the one before; samples of nanoseconds per packet. */
export async function sampleBatches(batch: (n: number) => Promise<unknown>, options: SampleOptions): Promise<number[]> {
  let n = 0;
  // Twice over all of the memory: the first time makes its pages.
  while (n < 2 * MEMORY_BATCHES) await batch(n++);
  const samples: number[] = [];
  while (samples.length < options.samples) {
    const from = performance.now();
    const first = n;
    while (performance.now() - from < options.minMs * 4) await batch(n++);
    samples.push(((performance.now() - from) * 1e6) / ((n - first) * BATCH_PACKETS));
  }
  return samples;
}

/** Lands packets in `memory`, a batch at a time, round and round. */
export function landingBatches(memory: DeviceMemory): (n: number) => Promise<unknown> {
  const packets = newPackets();
  const batchBytes = BATCH_PACKETS * PACKET_BYTES;
  const landingBytes = LANDING_PACKETS * PACKET_BYTES;
  return (n) => {
    const landed: Promise<void>[] = [];
    for (let at = 0; at < batchBytes; at += landingBytes) {
      const landing = memory.beginLanding((n * batchBytes + at) % MEMORY_BYTES, landingBytes);
      if (landing === null) throw new Error("no staging");
      for (let packet = 0; packet < landingBytes; packet += PACKET_BYTES) {
        const from = (n * batchBytes + at + packet) % packets.length;
        landing.bytes.set(packets.subarray(from, from + PACKET_BYTES), packet);
      }
      const visible = landing.commit(landingBytes);
      if (visible !== null) landed.push(visible);
    }
    return Promise.all(landed);
  };
}
