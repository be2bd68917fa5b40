import { NetmemError } from "./errors.ts";
import type { DmaDir } from "./dma.ts";
import type { Host } from "./host.ts";
import { PROVIDER_NAMES } from "./layout.ts";
import { LocalNames, type NameTable } from "./name-table.ts";
import type { NetmemRef } from "./netmem-ref.ts";

/** What a provider may know of the pool that it feeds. */
export interface PoolHandle {
  readonly host: Host;
  /** Introspection id, unique on the host, >= 1. 0 until the pool is listed. */
  readonly id: number;
  /** Index of the pool's owner record. */
  readonly ownerId: number;
  /** Pages per buffer, as a power of two. */
  readonly order: number;
  readonly nid: number;
  readonly dmaDir: DmaDir;
  readonly dmaMap: boolean;
  /** Recycled buffers are synced for the device. A provider that does not want that clears it in `init`. */
  dmaSync: boolean;
  /** The pool's `dmaSyncForCpu` has an effect. A provider of memory that no CPU reads clears it in `init`. */
  dmaSyncCpu: boolean;
  readonly rxq: RxQueueInfo | null;
}

/** Receives the attributes that a provider adds to a pool's or queue's introspection record. */
export interface InfoSink {
  set(name: string, value: number | string): void;
}

/** A device's receive queue, as far as pools and providers care. */
export interface RxQueueInfo {
  readonly ifindex: number;
  readonly queueIdx: number;
  /** Provider bound to the queue, null for ordinary pages. */
  readonly provider: MemoryProviderOps | null;
}

/**
 * The six hooks that replace the page allocator below a page pool (kernel: `memory_provider_ops`). All of them run on
 * the pool's owner thread; none is called while the pool's cache or ring can serve.
 */
export interface MemoryProviderOps {
  readonly name: string;
  readonly opsVersion: 1;
  /** The CPU can read every buffer of the provider, so that a queue needs no header split for it. Default false. */
  readonly isReadable?: boolean;
  /** Validates the pool and takes what it needs. Throws a coded error to refuse; `destroy` is then not called. */
  init(pool: PoolHandle): void;
  /** Last call for a pool: every buffer has come home. */
  destroy(pool: PoolHandle): void;
  /**
   * Writes up to `max` references of free buffers into `out[0..n)` and returns n, 0 when exhausted. The pool marks and
   * counts them. Called with an empty alloc cache.
   *
   * A buffer of this very pool that its user gave back to the provider may be among them: the provider has dropped the last
   * pool-level holder and marked it `Returning`. It never left the pool's books.
   */
  allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number;
  /** True: the core gives the page to the page allocator. False: the provider has taken the buffer back. */
  releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean;
  /** Whether the buffer comes from this provider. Lets a fallback chain route a release. */
  owns(ref: NetmemRef): boolean;
  /** Adds attributes for a pool's record (`rxq` null) or a queue's. */
  fillInfo?(info: InfoSink, rxq: RxQueueInfo | null): void;
  /** The device goes away: forget the queue, do not wait for pools. */
  uninstall?(rxq: RxQueueInfo): void;
}

const MAX_PROVIDERS = PROVIDER_NAMES;
const requiredHooks = ["init", "destroy", "allocNetmems", "releaseNetmem", "owns"] as const;

/**
 * The providers that a thread knows, by small integer. Ids go by name and are the same on every thread of a host; the
 * hooks are functions, so each thread that needs a provider registers it.
 */
export class ProviderRegistry {
  private readonly byId: (MemoryProviderOps | undefined)[] = [];
  private readonly names: NameTable;

  constructor(names: NameTable = new LocalNames([], MAX_PROVIDERS)) {
    this.names = names;
  }

  /**
   * Registers `ops` and returns its id; the same object twice gives the same id. A second provider of a name that this
   * thread knows is "name#2", and so on.
   * @throws `ERR_NETMEM_PROVIDER_INCOMPLETE` (EFAULT) when a hook is missing or the contract version differs;
   * `ERR_NETMEM_PROVIDERS_EXHAUSTED` (ENOSPC).
   */
  register(ops: MemoryProviderOps): number {
    const known = this.byId.indexOf(ops);
    if (known >= 0) return known;
    checkComplete(ops);
    for (let n = 1; ; n++) {
      const id = this.names.numberOf(n === 1 ? ops.name : `${ops.name}#${n}`);
      if (id < 0) failProviders(ops.name);
      if (this.byId[id] !== undefined) continue;
      this.byId[id] = ops;
      return id;
    }
  }

  has(ops: MemoryProviderOps): boolean {
    return this.byId.includes(ops);
  }

  /** Id of a provider that is registered on this thread, -1 otherwise. */
  idOf(ops: MemoryProviderOps): number {
    return this.byId.indexOf(ops);
  }

  /** The provider of that id as this thread registered it. */
  get(id: number): MemoryProviderOps | undefined {
    return this.byId[id];
  }

  /** Its name, also when only another thread registered it. */
  nameOf(id: number): string {
    return this.names.nameOf(id) ?? `provider ${id}`;
  }
}

function checkComplete(ops: MemoryProviderOps): void {
  const missing: string[] = requiredHooks.filter((hook) => typeof ops[hook] !== "function");
  if (ops.name === "") missing.push("a name");
  if (missing.length === 0 && ops.opsVersion === 1) return;
  throw new NetmemError({
    code: "ERR_NETMEM_PROVIDER_INCOMPLETE",
    errno: "EFAULT",
    reason: `provider ${ops.name} lacks ${missing.join(", ") || "opsVersion 1"}`,
    remedy: "Implement every hook of MemoryProviderOps, version 1.",
    param: "ops",
    value: ops.name,
  });
}

function failProviders(name: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_PROVIDERS_EXHAUSTED",
    errno: "ENOSPC",
    reason: `all ${MAX_PROVIDERS} provider ids are taken`,
    remedy: "Register a provider once per host, not once per queue, and give it a name.",
    param: "name",
    value: name,
  });
}
