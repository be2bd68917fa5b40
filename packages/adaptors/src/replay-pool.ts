import {
  type DmaDir,
  GEN_ONE,
  GEN_SHIFT,
  type Host,
  idxOf,
  makePlain,
  META_OUT,
  type MemoryProviderOps,
  type NetmemRef,
  OWNER_NONE,
  type PoolHandle,
  putNetmem,
  REF_MASK,
} from "@netmem/core";

/** As many as a page pool asks for at most. */
const MAX_BATCH = 64;

/** What a page pool does with a provider's buffers, and nothing else: no cache, no ring, no users. */
export class ReplayPool implements PoolHandle {
  readonly host: Host;
  readonly id: number;
  readonly ownerId: number = OWNER_NONE;
  readonly order: number;
  readonly nid = -1;
  readonly dmaDir: DmaDir;
  readonly dmaMap: boolean;
  dmaSync = true;
  dmaSyncCpu = true;
  readonly rxq = null;
  private readonly provider: MemoryProviderOps;

  constructor(host: Host, provider: MemoryProviderOps, id: number, shape: number) {
    this.host = host;
    this.provider = provider;
    this.id = id;
    this.order = shape & 0xff;
    this.dmaDir = ((shape >>> 8) & 3) as DmaDir;
    this.dmaMap = (shape & (1 << 12)) !== 0;
  }

  /** Up to `max` buffers, those beyond `keep` straight back; returns how many there were. The kept ones are out. */
  take(out: Int32Array, max: number, keep: number): number {
    const { host, provider } = this;
    const count = provider.allocNetmems(this, out, Math.min(max, MAX_BATCH));
    for (let k = 0; k < count; k++) host.i32[idxOf(out[k]! as NetmemRef)] = META_OUT | (out[k]! >>> GEN_SHIFT);
    for (let k = keep; k < count; k++) this.give(out[k]! as NetmemRef);
    return count;
  }

  /** A buffer that is out goes home. */
  give(ref: NetmemRef): void {
    const { host, provider } = this;
    const next = ((ref + GEN_ONE) & REF_MASK) as NetmemRef;
    host.i32[idxOf(ref)] = next >>> GEN_SHIFT;
    if (!provider.releaseNetmem(this, next)) return;
    host.i32[host.dmaAt + idxOf(ref)] = 0;
    makePlain(host, next);
    putNetmem(host, next);
  }
}
