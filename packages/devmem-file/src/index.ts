export { createFileMemory, FileMemory, openFileMemory } from "./file-memory.ts";
export type { FileDurability, FileMemoryParams, FileOpsParams } from "./file-memory.ts";
export type { FileOps } from "./file-ops.ts";
export type { WriteStats } from "./write-queue.ts";
