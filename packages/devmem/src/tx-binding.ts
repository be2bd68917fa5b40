import {
  getNetmem,
  type Host,
  IDX_MASK,
  META_FREE,
  META_GEN_MASK,
  META_OUT,
  NetmemError,
  type NetmemRef,
  putNetmem,
} from "@netmem/core";
import type { DeviceMemory } from "./device-memory.ts";
import { type DeviceRegion, GenPool } from "./gen-pool.ts";
import { PageRefs } from "./page-refs.ts";

/** Words of one entry of {@link DevmemTxBinding.takeFrags}: netmem, offset in it, bytes. */
export const TX_FRAG_WORDS = 3;

/**
 * Device memory to send from (kernel: a TX `net_devmem_dmabuf_binding`). Its pages belong to no pool: an skb holds each by a
 * page-level reference, which it drops when it is consumed without the `ppRecycle` bit.
 */
export class DevmemTxBinding {
  /** Named by whoever sends, >= 1. */
  readonly id: number;
  readonly memory: DeviceMemory;
  /** The device that may send it. */
  readonly ifindex: number;
  private readonly host: Host;
  /** @internal */
  readonly pages: GenPool;
  private readonly refs: PageRefs;
  private readonly onFreed: (binding: DevmemTxBinding) => void;
  private readonly waiters: (() => void)[] = [];
  private isUnbound = false;
  private isGone = false;

  /** @internal Use `bindTx`. */
  constructor(
    host: Host,
    id: number,
    memory: DeviceMemory,
    ifindex: number,
    regions: readonly DeviceRegion[],
    onFreed: (binding: DevmemTxBinding) => void,
  ) {
    this.id = id;
    this.memory = memory;
    this.ifindex = ifindex;
    this.host = host;
    this.onFreed = onFreed;
    this.refs = new PageRefs(() => this.free());
    this.pages = new GenPool(host, `devmem tx ${id}`, regions, {
      getRef: (ref) => this.refs.getPage(this.pages, ref),
      putRef: (ref) => this.refs.putPage(this.pages, ref),
    });
    this.setState(META_OUT, 0);
  }

  get isFreed(): boolean {
    return this.isGone;
  }

  /** Resolves when the last skb has let go: the memory may be closed then. */
  freed(): Promise<void> {
    return this.isGone ? Promise.resolve() : new Promise((resolve) => this.waiters.push(resolve));
  }

  /** One for the user, one per page in an skb. */
  get refCount(): number {
    return this.refs.total;
  }

  /** Whether a buffer is memory of this binding. */
  owns(ref: NetmemRef): boolean {
    return this.pages.owns(ref);
  }

  /**
   * Takes what an skb needs to send `lengthBytes` bytes from byte `offset` on: entries of {@link TX_FRAG_WORDS} words in
   * `out`, one per page, each with a reference that `putNetmem` drops. Bytes count from the start of the binding's regions.
   * Returns the number of entries. Kernel: `zerocopy_fill_skb_from_devmem`.
   *
   * @throws `ERR_NETMEM_DEVMEM_RANGE` (EFAULT) past the end, `ERR_NETMEM_DEVMEM_FRAGS` (EMSGSIZE) when `out` is too short,
   * `ERR_NETMEM_UNBOUND` (EINVAL) after the end of the binding. No reference is taken then.
   */
  takeFrags(offset: number, lengthBytes: number, out: Int32Array): number {
    const { pageShift } = this.host;
    const pageBytes = 2 ** pageShift;
    if (this.isUnbound) failUnbound(this.id);
    const end = offset + lengthBytes;
    const isInside = Number.isInteger(offset) && Number.isInteger(lengthBytes) && offset >= 0 && lengthBytes >= 0;
    if (!isInside || end > this.pages.pageCount * pageBytes) failRange(offset, lengthBytes);
    const first = Math.floor(offset / pageBytes);
    const count = lengthBytes === 0 ? 0 : Math.ceil(end / pageBytes) - first;
    if (count * TX_FRAG_WORDS > out.length) failFrags(count, out.length);
    for (let n = 0; n < count; n++) {
      const ref = this.pages.refAt(first + n) as NetmemRef;
      const from = n === 0 ? offset - first * pageBytes : 0;
      const to = Math.min(end - (first + n) * pageBytes, pageBytes);
      getNetmem(this.host, ref);
      out.set([ref, from, to - from], n * TX_FRAG_WORDS);
    }
    return count;
  }

  /** Gives back `count` entries that no skb took. */
  putFrags(frags: Int32Array, count: number): void {
    for (let n = 0; n < count; n++) putNetmem(this.host, frags[n * TX_FRAG_WORDS]! as NetmemRef);
  }

  /** @internal Drops the user's reference, once. */
  unbind(): void {
    if (this.isUnbound) return;
    this.isUnbound = true;
    this.refs.put();
  }

  /** Pages of no owner, and "out" for as long as the binding lives: a return by type is refused. References to it are stale afterwards. */
  private setState(state: number, generations: number): void {
    const { i32 } = this.host;
    for (let page = 0; page < this.pages.pageCount; page++) {
      const idx = (this.pages.refAt(page) >>> 1) & IDX_MASK;
      i32[idx] = state | ((i32[idx]! + generations) & META_GEN_MASK);
    }
  }

  private free(): void {
    this.setState(META_FREE, 1);
    this.pages.dispose();
    this.isGone = true;
    this.onFreed(this);
    for (const wake of this.waiters.splice(0)) wake();
  }
}

function failUnbound(id: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_UNBOUND",
    errno: "EINVAL",
    reason: `devmem ${id} is not bound any more`,
    remedy: "Send from bindings that are live.",
    param: "id",
    value: id,
  });
}

function failRange(offset: number, lengthBytes: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DEVMEM_RANGE",
    errno: "EFAULT",
    reason: `${lengthBytes} bytes at ${offset} leave the binding`,
    remedy: "Stay inside the regions that were bound.",
    param: "offset",
    value: offset,
  });
}

function failFrags(count: number, words: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DEVMEM_FRAGS",
    errno: "EMSGSIZE",
    reason: `${count} fragments do not fit into ${words} words`,
    remedy: "Send less at a time, or pass a longer array.",
    param: "lengthBytes",
    value: count,
  });
}
