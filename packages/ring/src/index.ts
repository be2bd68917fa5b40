export { createInbox, freeInbox, Inbox, MAX_INBOX_WORKERS } from "./inbox.ts";
export type { InboxParams } from "./inbox.ts";
export { InboxProducer } from "./inbox-producer.ts";
export { INBOX_WORDS } from "./inbox-words.ts";
export { PtrRing } from "./ptr-ring.ts";
export type { PtrRingOptions, RingMemory } from "./ptr-ring.ts";
export { ptrRingProduce } from "./ptr-ring-words.ts";
export { createSpscRing, freeSpscRing, SpscConsumer, SpscProducer } from "./spsc-ring.ts";
export type { SpscRingOptions } from "./spsc-ring.ts";
