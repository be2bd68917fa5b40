import { GEN_ONE, type Host, IDX_MASK, type NetmemRef, type PoolHandle, REF_MASK } from "@netmem/core";
import { PlainProvider } from "./plain-provider.ts";

/** Pages of its own that it keeps between users, as a huge-page provider does; taken at the first pool, given at the last. */
export class StashProvider extends PlainProvider {
  override readonly name: string = "stash";
  protected readonly stash: NetmemRef[] = [];
  /** Pages that somebody held when they came back. */
  protected held: NetmemRef[] = [];
  private readonly size: number;

  constructor(host: Host, size: number) {
    super(host);
    this.size = size;
  }

  override init(pool: PoolHandle): void {
    super.init(pool);
    if (this.pools > 1) return;
    const refs = new Int32Array(this.size);
    const missing = this.size - this.stash.length - this.held.length;
    const got = super.allocNetmems(pool, refs, missing);
    this.stash.push(...(refs.subarray(0, got) as unknown as NetmemRef[]));
  }

  override destroy(pool: PoolHandle): void {
    super.destroy(pool);
    if (this.pools > 0) return;
    this.lookAtHeld();
    for (const ref of this.stash.splice(0)) {
      super.releaseNetmem(pool, ref);
      this.makePlain(ref);
      this.host.pages.freePage(ref as never);
    }
  }

  override allocNetmems(_pool: PoolHandle, out: Int32Array, max: number): number {
    if (this.stash.length < max) this.lookAtHeld();
    const refs = this.stash.splice(0, max);
    for (const [k, ref] of refs.entries()) out[k] = ref;
    return refs.length;
  }

  override releaseNetmem(_pool: PoolHandle, ref: NetmemRef): boolean {
    const { host } = this;
    if (host.i32[host.pageRefAt + ((ref >>> 1) & IDX_MASK)] === 0) this.stash.push(ref);
    else this.held.push(ref);
    return false;
  }

  protected lookAtHeld(): void {
    const { host } = this;
    const isHeld = (ref: NetmemRef): boolean => host.i32[host.pageRefAt + ((ref >>> 1) & IDX_MASK)] !== 0;
    for (const ref of this.held.filter((one) => !isHeld(one))) {
      const next = (ref + GEN_ONE) & REF_MASK;
      this.stash.push(next as NetmemRef);
      host.i32[(ref >>> 1) & IDX_MASK] = next >>> 21;
    }
    this.held = this.held.filter(isHeld);
  }

  private makePlain(ref: NetmemRef): void {
    this.host.i32[(ref >>> 1) & IDX_MASK] = (1 << 13) | (2 << 9) | (ref >>> 21);
  }
}
