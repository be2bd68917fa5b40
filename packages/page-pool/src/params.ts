import {
  checkInt,
  DmaDir,
  failParam,
  type Host,
  type Napi,
  NetmemError,
  type NetmemRef,
  NO_NODE,
  type RxQueueInfo,
} from "@netmem/core";
import { DEFAULT_RING_SIZE, MAX_BUFFER_SHIFT, MAX_PAGE_ORDER, MAX_RING_SIZE } from "./limits.ts";

/** Bits of {@link PagePoolParams.flags} (kernel: `PP_FLAG_*`). */
export const PagePoolFlag = {
  /** Map buffers for the device when they enter the pool, unmap when they leave. */
  DmaMap: 1,
  /** Sync recycled buffers for the device. Needs `DmaMap` and `maxLenBytes`. */
  DmaSyncDev: 2,
  /** A per-CPU pool of the system. */
  SystemPool: 4,
  /** The driver never touches payload by CPU: take buffers from the queue's provider if it has one. */
  AllowUnreadableNetmem: 8,
} as const;

const KNOWN_FLAGS = 15;

/**
 * Which puts may use the alloc cache. `ownerThread`: every put on the pool's thread; right for JavaScript, where
 * buffers are freed after an await and nothing preempts. `napi`: the kernel's rule, only inside the poll of the pool's
 * NAPI (or on its CPU) unless the caller promises otherwise.
 */
export type DirectRecycle = "ownerThread" | "napi";

/** How to make a page pool. Every field is optional. */
export interface PagePoolParams {
  /** Shown in errors and introspection. Default "page_pool". */
  readonly name?: string;
  /** Bits of {@link PagePoolFlag}. Default 0. */
  readonly flags?: number;
  /** Each buffer is 2^order pages, 0 to 10. Default 0. */
  readonly order?: number;
  /** Entries of the return ring, exactly; 0 = 1024, more than 16384 is clamped. Default 0. */
  readonly poolSize?: number;
  /** Memory node that pages should be on, -1 = that of the CPU that allocates. Default -1. */
  readonly nid?: number;
  readonly dmaDir?: DmaDir;
  /** Bytes that the device may write, counted from `offsetBytes`. Needed with `DmaSyncDev`. Default 0. */
  readonly maxLenBytes?: number;
  /** Where the device starts writing. Bytes. Default 0. */
  readonly offsetBytes?: number;
  /** NAPI whose poll may recycle directly. Default none. */
  readonly napi?: Napi | null;
  /** CPU whose bottom halves may recycle directly, -1 = none. Default -1. */
  readonly cpuid?: number;
  /** Queue that the pool feeds; its provider is used when `AllowUnreadableNetmem` is set. */
  readonly rxq?: RxQueueInfo | null;
  /** Device that lists the pool; default: the queue's. A pool without a device is listed on the host only. */
  readonly ifindex?: number;
  /** Called once per buffer when it enters the pool, never when it is recycled; in a refill, so it must not use the pool. */
  readonly initCallback?: (ref: NetmemRef) => void;
  /**
   * Zero readable buffers when they enter the pool, before the device and `initCallback` see them; never when they are
   * recycled. For buffers that are shown to somebody who may not see the host's other memory. Default false.
   */
  readonly clearOnEntry?: boolean;
  /** Let the page allocator take idle buffers of cache and ring back when it runs dry. Default true. */
  readonly reclaim?: boolean;
  readonly directRecycle?: DirectRecycle;
  /** Debug level for this pool: poison, fragment map, quarantine, touch history. Default: the host's level. */
  readonly debug?: boolean;
}

const KNOWN_PARAMS: readonly string[] = [
  "name",
  "flags",
  "order",
  "poolSize",
  "nid",
  "dmaDir",
  "maxLenBytes",
  "offsetBytes",
  "napi",
  "cpuid",
  "rxq",
  "ifindex",
  "initCallback",
  "clearOnEntry",
  "reclaim",
  "directRecycle",
  "debug",
];

/** Params with every default filled in. */
export interface ResolvedParams {
  readonly name: string;
  readonly flags: number;
  readonly order: number;
  readonly ringSize: number;
  readonly nid: number;
  readonly dmaDir: DmaDir;
  readonly maxLenBytes: number;
  readonly offsetBytes: number;
  readonly napi: Napi | null;
  readonly cpuid: number;
  readonly rxq: RxQueueInfo | null;
  readonly ifindex: number;
  readonly initCallback: ((ref: NetmemRef) => void) | null;
  readonly clearOnEntry: boolean;
  readonly reclaim: boolean;
  readonly directRecycle: DirectRecycle;
  readonly debug: boolean;
}

function checkKeys(params: PagePoolParams): void {
  for (const key of Object.keys(params)) {
    if (!KNOWN_PARAMS.includes(key)) failParam(key, "given", "a known parameter", `Known: ${KNOWN_PARAMS.join(", ")}.`);
  }
}

function checkFlags(flags: number): void {
  if ((flags & KNOWN_FLAGS) !== flags) {
    failParam("flags", flags, `bits of PagePoolFlag (mask ${KNOWN_FLAGS})`, "Or together values of PagePoolFlag.");
  }
}

function checkTypes(p: PagePoolParams): void {
  const isObject = (value: unknown, key: string): boolean =>
    typeof value === "object" && value !== null && key in value;
  const wants = (param: keyof PagePoolParams, ok: boolean, expected: string): void => {
    if (p[param] !== undefined && !ok) failParam(param, p[param], expected, "Leave it out for the default.");
  };
  wants("name", typeof p.name === "string", "a string");
  wants("napi", p.napi === null || isObject(p.napi, "listOwner"), "a Napi or null");
  wants("rxq", p.rxq === null || isObject(p.rxq, "provider"), "an RxQueueInfo or null");
  wants("initCallback", typeof p.initCallback === "function", "a function");
  wants("clearOnEntry", typeof p.clearOnEntry === "boolean", "a boolean");
  wants("reclaim", typeof p.reclaim === "boolean", "a boolean");
  wants("debug", typeof p.debug === "boolean", "a boolean");
}

function checkDma(p: ResolvedParams): void {
  const map = (p.flags & PagePoolFlag.DmaMap) !== 0;
  if (map && p.dmaDir !== DmaDir.FromDevice && p.dmaDir !== DmaDir.Bidirectional) {
    failParam(
      "dmaDir",
      p.dmaDir,
      "FromDevice or Bidirectional with DmaMap",
      "Use Bidirectional when buffers are also sent.",
    );
  }
  if ((p.flags & PagePoolFlag.DmaSyncDev) === 0) return;
  if (!map) failParam("flags", p.flags, "DmaMap with DmaSyncDev", "Set both, or neither.");
  if (p.maxLenBytes === 0)
    failParam("maxLenBytes", 0, "at least 1 with DmaSyncDev", "Pass the largest frame the device writes.");
}

function checkRanges(host: Host, p: PagePoolParams): void {
  checkInt("poolSize", p.poolSize ?? 0, 0, 2 ** 31 - 1);
  checkInt("order", p.order ?? 0, 0, MAX_BUFFER_SHIFT - host.pageShift);
  checkInt("nid", p.nid ?? NO_NODE, NO_NODE, host.nodeCount - 1);
  checkInt("cpuid", p.cpuid ?? -1, -1, 4095);
  checkInt("maxLenBytes", p.maxLenBytes ?? 0, 0, 2 ** 31 - 1);
  checkInt("offsetBytes", p.offsetBytes ?? 0, 0, 2 ** 31 - 1);
  checkInt("dmaDir", p.dmaDir ?? DmaDir.Bidirectional, 0, 3);
  checkInt("ifindex", p.ifindex ?? 0, 0, 2 ** 31 - 1);
  const direct = p.directRecycle ?? "ownerThread";
  if (direct !== "ownerThread" && direct !== "napi") {
    failParam("directRecycle", direct, "'ownerThread' or 'napi'", "Leave it out for the default.");
  }
}

/**
 * Checks in the kernel's order (`page_pool_init`) and fills in defaults; the first wrong parameter wins.
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL)
 */
export function resolveParams(host: Host, params: PagePoolParams): ResolvedParams {
  checkKeys(params);
  checkFlags(params.flags ?? 0);
  checkRanges(host, params);
  checkTypes(params);
  const rxq = params.rxq ?? null;
  const poolSize = params.poolSize ?? 0;
  const resolved: ResolvedParams = {
    name: params.name ?? "page_pool",
    flags: params.flags ?? 0,
    order: params.order ?? 0,
    ringSize: poolSize === 0 ? DEFAULT_RING_SIZE : Math.min(poolSize, MAX_RING_SIZE),
    nid: params.nid ?? NO_NODE,
    dmaDir: params.dmaDir ?? DmaDir.Bidirectional,
    maxLenBytes: params.maxLenBytes ?? 0,
    offsetBytes: params.offsetBytes ?? 0,
    napi: params.napi ?? null,
    cpuid: params.cpuid ?? -1,
    rxq,
    ifindex: params.ifindex ?? rxq?.ifindex ?? 0,
    initCallback: params.initCallback ?? null,
    clearOnEntry: params.clearOnEntry ?? false,
    reclaim: params.reclaim ?? true,
    directRecycle: params.directRecycle ?? "ownerThread",
    debug: params.debug ?? host.level !== "checked",
  };
  checkDma(resolved);
  return resolved;
}

/** Checks that only apply to pools on the page allocator. */
export function checkPageBacked(host: Host, p: ResolvedParams): void {
  if (p.order > MAX_PAGE_ORDER) {
    failParam(
      "order",
      p.order,
      `at most ${MAX_PAGE_ORDER} on the page allocator`,
      "Use a provider for larger buffers.",
    );
  }
  if ((p.flags & PagePoolFlag.DmaMap) === 0 || host.dma !== null) return;
  throw new NetmemError({
    code: "ERR_NETMEM_NO_DMA_DEVICE",
    errno: "ENODEV",
    reason: "DmaMap needs a device and the host has none",
    remedy: "Pass dma to createHost, or leave DmaMap out.",
    param: "flags",
    value: p.flags,
  });
}
