import { checkInt, failParam, type Host, type HugeBacking } from "@netmem/core";
import { failHugeRange, failNoHugePages } from "./huge-errors.ts";

const DEFAULT_PAGE_BYTES = 2 ** 21;

export interface ModelBackingParams {
  /** Bytes of a huge page: a power of two, at least 32 pages of the host. Default 2 MiB. */
  readonly pageBytes?: number;
  /** Arena byte offset of the first place. Default 0; another one plays an arena that starts at an odd address. */
  readonly firstOffset?: number;
  /** Huge pages that there are. Default: as many as the arena has places. */
  readonly maxPages?: number;
}

/** Huge pages that are ordinary memory: for models, tests and hosts where there are no real ones. */
export class ModelBacking implements HugeBacking {
  readonly kind = "model";
  readonly pageBytes: number;
  readonly firstOffset: number;
  private readonly maxPages: number;
  private readonly placeCount: number;
  /** Places with huge pages, by number. */
  private readonly backed: Set<number> = new Set<number>();

  /** @internal Use {@link createModelBacking}. */
  constructor(host: Host, params: ModelBackingParams) {
    const { arenaBytes } = host.layout;
    const pageBytes = params.pageBytes ?? DEFAULT_PAGE_BYTES;
    const minBytes = 32 * host.pageSizeBytes;
    if (2 ** Math.round(Math.log2(pageBytes)) !== pageBytes) {
      failParam("pageBytes", pageBytes, "a power of two", "Use 2 MiB or 1 GiB.");
    }
    this.pageBytes = checkInt("pageBytes", pageBytes, minBytes, 2 ** 30);
    this.firstOffset = checkInt("firstOffset", params.firstOffset ?? 0, 0, pageBytes - 1);
    if (this.firstOffset % host.pageSizeBytes !== 0) {
      failParam("firstOffset", this.firstOffset, "a multiple of the page size", "Round it to whole pages.");
    }
    this.placeCount = Math.floor((arenaBytes - this.firstOffset) / pageBytes);
    this.maxPages = checkInt("maxPages", params.maxPages ?? this.placeCount, 0, 2 ** 20);
  }

  /** Huge pages under the arena now. */
  get backedCount(): number {
    return this.backed.size;
  }

  available(): number {
    return Math.min(this.maxPages, this.placeCount) - this.backed.size;
  }

  back(offsetBytes: number, bytes: number): void {
    const places = this.placesOf(offsetBytes, bytes);
    const taken = places.find((place) => this.backed.has(place));
    if (taken !== undefined) failHugeRange("EBUSY", this.offsetOf(taken), "has a huge page already");
    if (places.length > this.available()) failNoHugePages(places.length, this.available(), "that is all there are");
    for (const place of places) this.backed.add(place);
  }

  release(offsetBytes: number, bytes: number): void {
    const places = this.placesOf(offsetBytes, bytes);
    const missing = places.find((place) => !this.backed.has(place));
    if (missing !== undefined) failHugeRange("EINVAL", this.offsetOf(missing), "has no huge page");
    for (const place of places) this.backed.delete(place);
  }

  private offsetOf(place: number): number {
    return this.firstOffset + place * this.pageBytes;
  }

  private placesOf(offsetBytes: number, bytes: number): number[] {
    const first = (offsetBytes - this.firstOffset) / this.pageBytes;
    const count = bytes / this.pageBytes;
    const isWhole = Number.isInteger(first) && Number.isInteger(count) && first >= 0 && count >= 1;
    if (!isWhole || first + count > this.placeCount) {
      failParam("offsetBytes", offsetBytes, "the first of whole places", "Keep to firstOffset + n * pageBytes.");
    }
    return Array.from({ length: count }, (_, n) => first + n);
  }
}

/**
 * Keeps the books of huge pages over the arena's own memory, wherever the arena is.
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL)
 */
export function createModelBacking(host: Host, params: ModelBackingParams = {}): ModelBacking {
  return new ModelBacking(host, params);
}
