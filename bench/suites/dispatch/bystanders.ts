/** What types and providers cost that are there but not at work, or at work elsewhere. */

import { type Host, type MemoryProviderOps, type NetmemRef, type PoolHandle } from "@netmem/core";
import { createDirectDevice } from "@netmem/dma";
import { createHost, createPagePool, PagePoolFlag, type PagePool } from "netmem";
import { loopRow } from "../../measure.ts";
import type { Row, ScriptRow } from "../../suite.ts";
import { BURST } from "./mix.ts";
import { StackType } from "./stack-type.ts";

const POOLS = 64;
const IDLE_TYPES = 100;
const ARENA_BYTES = 64 * 2 ** 20;

/** Pages of the page allocator: the least that a provider can do. */
class PageProvider implements MemoryProviderOps {
  readonly name: string;
  readonly opsVersion = 1;
  private readonly host: Host;

  constructor(host: Host, name: string) {
    this.host = host;
    this.name = name;
  }

  init(): void {}

  destroy(): void {}

  allocNetmems(_pool: PoolHandle, out: Int32Array, max: number): number {
    return this.host.pages.allocBulk(out, max);
  }

  releaseNetmem(): boolean {
    return true;
  }

  owns(): boolean {
    return true;
  }
}

/** Nine more shapes of the same, so that a call through the contract is one of ten. */
const shapes: readonly ((host: Host) => MemoryProviderOps)[] = Array.from({ length: 10 }, (_, n) => {
  class Provider extends PageProvider {
    constructor(host: Host) {
      super(host, `provider ${n}`);
      Object.assign(this, { [`shape${n}`]: n });
    }
  }
  return (host) => new Provider(host);
});

function newHost(): Host {
  return createHost({ arenaBytes: ARENA_BYTES, dma: createDirectDevice });
}

/** A pool on a provider of its own, with buffers that have been through it once. */
function providedPool(host: Host, n: number): PagePool {
  const provider = shapes[n % shapes.length]!(host);
  host.providers.register(provider);
  const pool = createPagePool(host, {
    flags: PagePoolFlag.AllowUnreadableNetmem | PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev,
    maxLenBytes: 4096,
    rxq: { ifindex: 1, queueIdx: n, provider },
  });
  const refs = new Int32Array(BURST);
  const count = pool.allocBulk(refs, BURST);
  for (let k = 0; k < count; k++) pool.putFullPage(refs[k]! as NetmemRef);
  return pool;
}

/** The same loop over 64 slots, whatever is in them. */
function rotation(name: string, makePools: () => PagePool[]): ScriptRow {
  return loopRow({
    name,
    setup: makePools,
    run: (pools, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        const pool = pools[i & (POOLS - 1)]!;
        const ref = pool.allocNetmem();
        if (ref === 0) throw new Error("the pool is exhausted");
        sum = (sum + ref) | 0;
        pool.recycleDirect(ref);
      }
      return sum;
    },
  });
}

/** One pool at work, beside `idle` types with an owner each. */
function idleRow(name: string, idle: number): ScriptRow {
  return rotation(name, () => {
    const host = newHost();
    const types = Array.from({ length: idle }, (_, n) => new StackType(host, `idle ${n}`, 8));
    if (types.some(({ memType }) => !host.memTypes.isSupported(memType))) throw new Error("a type has no model");
    return Array.from({ length: POOLS }).fill(providedPool(host, 0)) as PagePool[];
  });
}

export const bystanderRows: readonly Row[] = [
  rotation("provided_pool1", () => Array.from({ length: POOLS }).fill(providedPool(newHost(), 0)) as PagePool[]),
  rotation("provided_pools64", () => {
    const host = newHost();
    return Array.from({ length: POOLS }, (_, n) => providedPool(host, n));
  }),
  idleRow("types_idle0", 0),
  idleRow("types_idle100", IDLE_TYPES),
];
