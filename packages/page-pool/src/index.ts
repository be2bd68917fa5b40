/// <reference lib="esnext.disposable" preserve="true" />
export type { AllocWaitOptions } from "./alloc-wait.ts";
export { createPagePool, installPagePools } from "./create-page-pool.ts";
export { pagePoolDump, pagePoolGet, pagePoolStatsDump, pagePoolStatsGet } from "./introspection.ts";
export type { PagePoolInfo, PagePoolStatsRecord } from "./introspection.ts";
export { checkPoolInvariants } from "./invariants.ts";
export type { DrainOptions } from "./lifecycle.ts";
export { BULK_QUEUE_SIZE, DEFAULT_RING_SIZE, DEFER_TIME_MS, DEFER_WARN_INTERVAL_MS, MAX_RING_SIZE } from "./limits.ts";
export { PagePool } from "./page-pool.ts";
export { PagePoolFlag } from "./params.ts";
export type { DirectRecycle, PagePoolParams, ResolvedParams } from "./params.ts";
export type { PoolTracer } from "./pool-state.ts";
export { QueueMonitor } from "./queue-monitor.ts";
export type { QueueMonitorParams, QueueReport } from "./queue-monitor.ts";
export { createPagePoolStats } from "./stats.ts";
export type { PagePoolAllocStats, PagePoolRecycleStats, PagePoolStats } from "./stats.ts";
