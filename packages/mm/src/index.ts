export { Buddy } from "./buddy.ts";
export { createPageAllocator, createPageShared } from "./create-page-allocator.ts";
export { PageOrder0 } from "./page-order0.ts";
export { PageShared } from "./page-shared.ts";
