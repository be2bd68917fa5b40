import type { Host } from "@netmem/core";
import { AttachedNicQueue } from "./attached-queue.ts";
import { DescriptorRing, RING_HEADER_WORDS } from "./descriptor-ring.ts";
import type { SharedNicQueueInput, SharedRingInput } from "./shared-queue.ts";
import { HEADERS } from "./shared-words.ts";

/** The driver's end of a queue of a NIC on another thread, from what that thread's `SharedNicQueue.start` returned. */
export function attachNicQueue(host: Host, { at, rx, rxData, tx }: SharedNicQueueInput): AttachedNicQueue {
  const open = ({ descCount, descsAt, startIndex }: SharedRingInput, n: number): DescriptorRing => {
    const words = { at: at + HEADERS + n * RING_HEADER_WORDS, descsAt };
    return new DescriptorRing(host, { descCount, startIndex, words });
  };
  return new AttachedNicQueue(host, at, open(rx, 0), rxData === null ? null : open(rxData, 1), open(tx, 2));
}
