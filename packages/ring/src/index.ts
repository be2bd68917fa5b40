export { PtrRing } from "./ptr-ring.ts";
export type { PtrRingOptions, RingMemory } from "./ptr-ring.ts";
export { ptrRingProduce } from "./ptr-ring-words.ts";
