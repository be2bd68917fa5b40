export { attachNicQueue } from "./attach-queue.ts";
export { AttachedNicQueue } from "./attached-queue.ts";
export {
  DESC_FLAGS,
  DESC_HASH,
  DESC_LENGTH,
  DESC_OFFSET,
  DESC_PFN,
  DescFlag,
  DescriptorRing,
} from "./descriptor-ring.ts";
export type { DescriptorRingParams, RingWords } from "./descriptor-ring.ts";
export { FlowKey, FlowKind } from "./flow-key.ts";
export { FlowTable, MAX_EXACT_RULES, MAX_WILDCARD_RULES } from "./flow-table.ts";
export { FrameTx } from "./frame-tx.ts";
export { HeaderLength } from "./header-length.ts";
export { Interrupt } from "./interrupt.ts";
export { MemoryPorts, PORT_PAGES } from "./memory-ports.ts";
export type { NicMemoryPort } from "./memory-ports.ts";
export type { NicParts, NicQueue, NicQueueParams } from "./nic-queue.ts";
export { HardwareQueue } from "./nic-queue.ts";
export type { SharedNicQueueInput, SharedRingInput } from "./shared-queue.ts";
export { SharedNicQueue } from "./shared-queue.ts";
export { Rss, RSS_TABLE_SIZE } from "./rss.ts";
export { SimNic } from "./sim-nic.ts";
export type { SimNicParams, SimNicStats } from "./sim-nic.ts";
export { RSS_DEFAULT_KEY, Toeplitz } from "./toeplitz.ts";
export { connectCable } from "./wire.ts";
export type { WireSink } from "./wire.ts";
