/// <reference lib="esnext.disposable" preserve="true" />
export { attachHost, createHost } from "./create-host.ts";
export type { DefaultHostParams } from "./create-host.ts";
export { SystemClock } from "./system-clock.ts";
export {
  asNetmemRef,
  asPageRef,
  DmaDir,
  getNetmem,
  isNetmemError,
  MemType,
  NetmemError,
  putNetmem,
  refNetmem,
  returnNetmem,
  returnNetmemBulk,
  returnNetmemRxNapi,
} from "@netmem/core";
export type {
  Clock,
  DmaDevice,
  Host,
  HostParams,
  MemModel,
  MemoryProviderOps,
  NetIovRef,
  NetmemRef,
  NetmemWarning,
  PagePoolRecord,
  PageRef,
  QueueAllocator,
  ReadableRef,
  SharedHost,
  UnreadableRef,
} from "@netmem/core";
export { createPageAllocator, createPageShared } from "@netmem/mm";
export {
  createPagePool,
  createPagePoolStats,
  PagePool,
  pagePoolDump,
  PagePoolFlag,
  pagePoolGet,
  pagePoolStatsDump,
  pagePoolStatsGet,
} from "@netmem/page-pool";
export type { PagePoolParams, PagePoolStats } from "@netmem/page-pool";
