import { checkInt, type HugeBacking, type HugeBackingKind } from "@netmem/core";
import { failNoHugePages } from "./huge-errors.ts";

/** A backing in front of another one that puts at most so many huge pages under the arena. */
export class HugeLimit implements HugeBacking {
  readonly kind: HugeBackingKind;
  readonly pageBytes: number;
  readonly firstOffset: number;
  /** Huge pages that were put through here and not released. */
  used = 0;
  private readonly upstream: HugeBacking;
  private readonly maxPages: number;

  /** @internal Use {@link withHugeLimit}. */
  constructor(upstream: HugeBacking, maxPages: number) {
    this.upstream = upstream;
    this.maxPages = checkInt("maxPages", maxPages, 0, 2 ** 20);
    this.kind = upstream.kind;
    this.pageBytes = upstream.pageBytes;
    this.firstOffset = upstream.firstOffset;
  }

  available(): number {
    return Math.min(this.upstream.available(), this.maxPages - this.used);
  }

  back(offsetBytes: number, bytes: number): void {
    const wanted = bytes / this.pageBytes;
    if (wanted > this.maxPages - this.used) {
      failNoHugePages(wanted, this.maxPages - this.used, `the limit is ${this.maxPages}`);
    }
    this.upstream.back(offsetBytes, bytes);
    this.used += wanted;
  }

  release(offsetBytes: number, bytes: number): void {
    this.upstream.release(offsetBytes, bytes);
    this.used -= bytes / this.pageBytes;
  }
}

/**
 * A hard limit on huge pages, for one provider or for all that share it: beyond it `back` throws
 * `ERR_NETMEM_NO_HUGE_PAGES` (ENOMEM) and `available` says 0.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL)
 */
export function withHugeLimit(upstream: HugeBacking, maxPages: number): HugeLimit {
  return new HugeLimit(upstream, maxPages);
}
