export { Buddy } from "./buddy.ts";
export {
  attachPageAllocator,
  createPageAllocator,
  createPageAllocatorWith,
  createPageShared,
} from "./create-page-allocator.ts";
export { createPageFrag, PageFrag } from "./page-frag.ts";
export type { PageFragParams, PageFragStats } from "./page-frag.ts";
export { PageOrder0 } from "./page-order0.ts";
export { PageShared } from "./page-shared.ts";
export type { PageSharedStats } from "./page-shared.ts";
export { pinReport, truesizeOf } from "./pin-report.ts";
export type { PinnedBlock, PinReport, PinReportOptions } from "./pin-report.ts";
export type { PageAllocatorParams, PageAllocatorStats, PageMarks } from "./watermarks.ts";
export { Watermarks } from "./watermarks.ts";
