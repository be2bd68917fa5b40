/** What the rows of the suite return: bursts of buffers of several owners, in any order. Shared by its files. */

import { asNetmemRef, type Host, type NetmemRef, type PageRef, type QueueAllocator } from "@netmem/core";
import { createHost, createPagePool } from "netmem";
import { randomOrder } from "../page-pool/random-indexes.ts";
import { StackType } from "./stack-type.ts";

/** Buffers per turn. */
export const BURST = 64;

const ARENA_BYTES = 64 * 2 ** 20;

export function newHost(): Host {
  return createHost({ arenaBytes: ARENA_BYTES });
}

/** The page allocator as what a queue asks. */
class Order0Allocator implements QueueAllocator {
  private readonly host: Host;

  constructor(host: Host) {
    this.host = host;
  }

  allocNetmem(): NetmemRef | 0 {
    return this.host.pages.allocPages(0);
  }

  allocBulk(out: Int32Array, max: number): number {
    return this.host.pages.allocBulk(out, max);
  }

  put(ref: NetmemRef): void {
    this.host.pages.freePage(ref as PageRef);
  }
}

/** One allocator of each of the first `count` types, of 1 to 6: page_pool, page_order0, four that own net_iovs. */
export function createTypes(host: Host, count: number): QueueAllocator[] {
  const makers: readonly (() => QueueAllocator)[] = [
    () => createPagePool(host),
    () => new Order0Allocator(host),
    ...["xsk_buff_pool", "devmem", "third-party", "another"].map((name) => () => new StackType(host, name, BURST)),
  ];
  return makers.slice(0, count).map((make) => make());
}

/** A burst whose buffers come from `allocators` in equal parts, in an order of its own. */
export class Mix {
  readonly host: Host;
  readonly refs: Int32Array = new Int32Array(BURST);
  /** Whose a place of the burst is. */
  readonly owners: readonly QueueAllocator[];
  private readonly allocators: readonly QueueAllocator[];
  private readonly counts: readonly number[];
  /** Places of the burst, those of the first allocator first. */
  private readonly places: Int32Array;
  private readonly taken: Int32Array = new Int32Array(BURST);

  constructor(host: Host, allocators: readonly QueueAllocator[], order: "random" | "interleaved") {
    const count = allocators.length;
    const slots = order === "random" ? randomOrder(BURST) : Int32Array.from({ length: BURST }, (_, n) => n);
    const placesOf = (which: number): number[] => Array.from(slots).filter((_slot, n) => n % count === which);
    const places = allocators.map((_, which) => placesOf(which));
    const owners: QueueAllocator[] = [];
    for (const [which, own] of places.entries()) for (const place of own) owners[place] = allocators[which]!;
    this.host = host;
    this.allocators = allocators;
    this.owners = owners;
    this.counts = places.map((own) => own.length);
    this.places = Int32Array.from(places.flat());
  }

  /** Fills {@link refs}, by one bulk call to each allocator. */
  take(): void {
    let from = 0;
    for (let which = 0; which < this.allocators.length; which++) from = this.takeFrom(which, which, from);
    if (from !== BURST) throw new Error("an allocator is exhausted");
  }

  /** Fills {@link refs} by as many calls, all of them to allocator number `turn`, modulo their number. */
  takeOfOne(turn: number): void {
    const count = this.allocators.length;
    let from = 0;
    for (let which = 0; which < count; which++) from = this.takeFrom(turn % count, which, from);
    if (from !== BURST) throw new Error("an allocator is exhausted");
  }

  private takeFrom(which: number, part: number, from: number): number {
    const { refs, places, taken } = this;
    const count = this.allocators[which]!.allocBulk(taken, this.counts[part]!);
    for (let n = 0; n < count; n++) refs[places[from + n]!] = taken[n]!;
    return from + count;
  }

  refAt(n: number): NetmemRef {
    return asNetmemRef(this.refs[n]!);
  }
}
