import { NetmemError, type NetmemRef } from "@netmem/core";
import type { GenPool } from "./gen-pool.ts";

/**
 * Who keeps a binding: its user, each pool, and each page-level reference (`get_netmem`) on one of its pages. In Linux those
 * count for the binding as a whole; here they are also counted per page, so that one too many is found.
 */
export class PageRefs {
  private count = 1;
  private held: Int32Array | null = null;
  private readonly onLast: () => void;

  /** One reference, the user's, to begin with. */
  constructor(onLast: () => void) {
    this.onLast = onLast;
  }

  /** References of all kinds. */
  get total(): number {
    return this.count;
  }

  get(): void {
    this.count++;
  }

  put(): void {
    if (--this.count === 0) this.onLast();
  }

  getPage(pool: GenPool, ref: NetmemRef): void {
    this.held ??= new Int32Array(pool.pageCount);
    const page = pool.ordinalOf(ref);
    this.held[page] = this.held[page]! + 1;
    this.count++;
  }

  /** @throws `ERR_NETMEM_DOUBLE_PUT` when nobody holds the page this way. */
  putPage(pool: GenPool, ref: NetmemRef): void {
    const page = pool.ordinalOf(ref);
    const held = this.held?.[page] ?? 0;
    if (held === 0) failPut(ref);
    this.held![page] = held - 1;
    this.put();
  }
}

function failPut(ref: NetmemRef): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DOUBLE_PUT",
    reason: `nobody holds device page 0x${ref.toString(16)} by getNetmem`,
    remedy: "Call putNetmem once per getNetmem; return a pool's buffer by returnNetmem.",
    param: "ref",
    value: ref,
  });
}
