/**
 * How plain accesses behave.
 *
 * - "sc": every access takes effect at once. Races are looked for here.
 * - "tso": a thread's plain stores become visible later, in order (x86). Atomic stores, read-modify-writes, wait and
 *   notify first let them out; atomic loads do not.
 * - "weak": plain stores to different words become visible in any order, plain loads between two acquires are satisfied
 *   in any order, and Atomics only order what a release or an acquire orders (ARM).
 */
export type MemoryModel = "sc" | "tso" | "weak";

export const MEMORY_MODELS: readonly MemoryModel[] = ["sc", "tso", "weak"];
