export {
  ChannelReceiver,
  ChannelSender,
  claimChannelEnd,
  createChannel,
  freeChannel,
  leaveChannelEnd,
} from "./channel.ts";
export { ChannelStamps } from "./channel-stamps.ts";
export { ChannelKind, RING as CHANNEL_RING } from "./channel-words.ts";
export { freeInbox, Inbox, initInbox } from "./inbox.ts";
export { InboxProducer } from "./inbox-producer.ts";
export type { InboxProducerParams } from "./inbox-producer.ts";
export { INBOX_WORDS, MAX_INBOX_WORKERS } from "./inbox-words.ts";
export { PtrRing } from "./ptr-ring.ts";
export type { PtrRingOptions, RingMemory } from "./ptr-ring.ts";
export { ptrRingProduce, ptrRingProduceBatch } from "./ptr-ring-words.ts";
export { claimRecord, pushRecords, takeRecords } from "./record-stack.ts";
export { createSpscRing, freeSpscRing, SpscConsumer, SpscProducer } from "./spsc-ring.ts";
export type { SpscRingOptions } from "./spsc-ring.ts";
export { createReturns, createReturnsWith, ThreadReturns } from "./thread-returns.ts";
export type { ReturnsParams } from "./thread-returns.ts";
