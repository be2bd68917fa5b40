export type { AbortSignalLike } from "./abort.ts";
export {
  acquireLock,
  acquireWithin,
  lockArena,
  lockHolder,
  releaseLock,
  repairLock,
  tryLock,
  unlockArena,
} from "./arena-lock.ts";
export type { LockingHost } from "./arena-lock.ts";
export type { AreaHooks, NetIovArea, NetIovAreaParams, ScatteredBuffers } from "./areas.ts";
export { Areas } from "./areas.ts";
export type { Clock, TimerId } from "./clock.ts";
export { compoundHead } from "./compound.ts";
export { Context } from "./context.ts";
export type { HardirqListener, Napi } from "./context.ts";
export { DmaDir } from "./dma.ts";
export type { DmaDevice } from "./dma.ts";
export { checkInt, failParam, isNetmemError, NetmemError } from "./errors.ts";
export type { NetmemErrorInit } from "./errors.ts";
export { deliverReturns, refuseReturn, reopen } from "./deliver-returns.ts";
export { ArenaHeap } from "./heap.ts";
export type { HeapHost } from "./heap.ts";
export type { HugeBacking, HugeBackingKind } from "./huge-backing.ts";
export { attachHost, createHost, Host } from "./host.ts";
export type { AttachParams, CheckLevel, HostParams, NetmemWarning, SharedHost } from "./host.ts";
export {
  ALLOCATOR_WORDS,
  DESCRIPTOR_BYTES,
  INFO_AREA_MASK,
  INFO_AREA_SHIFT,
  INFO_BUDDY,
  INFO_FRAG_MASK,
  INFO_FRAG_SHIFT,
  INFO_NID_SHIFT,
  INFO_ORDER_MASK,
  INFO_PFMEMALLOC,
  LAYOUT_VERSION,
  MAX_WORKERS,
  COMMON_CHANNELS,
  COMMON_LOCK,
  THREAD_INBOX,
  THREAD_INTENT,
  THREAD_WORDS,
  OWN_COUNT,
  OWN_HOLD,
  OWN_LEFT,
  OWN_LIMIT,
  OWN_MEM_ID,
  OWN_PRIVATE,
  OWN_RELEASE,
  OWN_STACK,
  OWN_STATE_AT,
  OWN_THREAD,
  OWN_TYPE,
  OWNER_STACK_SIZE,
  OWNER_WORDS,
} from "./layout.ts";
export type { ArenaGeometry, ArenaLayout } from "./layout.ts";
export { MemRegistry, RegState, XdpRxqInfo } from "./mem-registry.ts";
export type { MemAllocator, MemInfo } from "./mem-registry.ts";
export { MemType, MemTypeRegistry } from "./mem-type.ts";
export type { MemModel } from "./mem-type.ts";
export { ProviderRegistry } from "./memory-provider.ts";
export type { InfoSink, MemoryProviderOps, PoolHandle, RxQueueInfo } from "./memory-provider.ts";
export {
  META_FREE,
  META_GEN_MASK,
  META_OUT,
  META_OWNER_SHIFT,
  META_POOLED,
  META_POSTED,
  META_QUARANTINED,
  META_RETURNING,
  META_SHARED,
  META_STATE_MASK,
  metaOwner,
  metaState,
  metaStateName,
  NetmemState,
  ownerTag,
} from "./meta.ts";
export { failReturn, failWrongThread } from "./misuse.ts";
export { LocalNames, SharedNames } from "./name-table.ts";
export type { NameTable } from "./name-table.ts";
export {
  asNetmemRef,
  asPageRef,
  GEN_BITS,
  GEN_MASK,
  GEN_ONE,
  GEN_SHIFT,
  genOf,
  IDX_MASK,
  idxOf,
  isNetIov,
  isPage,
  makeRef,
  NET_IOV_TAG,
  REF_MASK,
} from "./netmem-ref.ts";
export type { NetIovRef, NetmemRef, PageRef, Readable, ReadableRef, Unreadable, UnreadableRef } from "./netmem-ref.ts";
export { OWNER_NONE, OWNER_ORDER0, OWNER_SHARED, Owners } from "./owners.ts";
export type { MemOwner, OwnerInfo } from "./owners.ts";
export { MAX_ORDER } from "./page-allocator.ts";
export type { PageAllocator, PageReclaim } from "./page-allocator.ts";
export { withNoDirect } from "./no-direct.ts";
export { MAX_NODES, NO_NODE, NodeMap } from "./nodes.ts";
export type { ArenaMemory } from "./platform.ts";
export { createMemory } from "./platform.ts";
export { PoolDirectory } from "./pool-directory.ts";
export type { ListedPool, PagePoolRecord, PoolEventKind, PoolListener } from "./pool-directory.ts";
export type { PacketSource, PacketView } from "./packet-source.ts";
export type { RxqProviderDevice } from "./provider-device.ts";
export type { QueueAllocator } from "./queue-allocator.ts";
export type { ReclaimReport } from "./reclaim.ts";
export type { HeldBuffers, RemoteReturns, ReturnCounts } from "./remote-returns.ts";
export type { Shrinker } from "./shrinkers.ts";
export { Shrinkers } from "./shrinkers.ts";
export {
  checkLive,
  fetchAdd,
  getNetmem,
  isPfmemalloc,
  makePlain,
  markShared,
  pageRefCount,
  ppRefCount,
  refNetmem,
  setPfmemalloc,
  setPpRefCount,
  unrefNetmem,
} from "./refcount.ts";
export {
  failBulkEntry,
  flushReturns,
  holdReturns,
  putNetmem,
  returnNetmem,
  returnNetmemBulk,
  returnNetmemRxNapi,
  returnRun,
} from "./return-dispatch.ts";
export { Workers } from "./workers.ts";
export type { WorkerInfo } from "./workers.ts";
