import { NetmemError } from "./errors.ts";
import { OWN_COUNT, OWN_LIMIT, OWN_TYPE, OWNER_WORDS, type ArenaLayout } from "./layout.ts";
import { failWrongThread } from "./misuse.ts";
import type { NetmemRef } from "./netmem-ref.ts";

/** Something that buffers belong to: a page pool, the page allocator, an XSK pool, a device-memory allocator. */
export interface MemOwner {
  /** Memory type of its buffers. */
  readonly memType: number;
  readonly name: string;
  /**
   * Takes a buffer that the one-compare push could not: shared, stack full, or the owner asked for every return.
   * `allowDirect` is the kernel's napi_direct. Throws a misuse error when the reference is not a live one of this owner.
   */
  returnSlow(ref: NetmemRef, allowDirect: boolean): void;
}

/** Ids that the page allocator claims; the others are handed out from {@link FIRST_DYNAMIC_OWNER} on. */
export const OWNER_NONE = 0;
export const OWNER_ORDER0 = 1;
export const OWNER_SHARED = 2;
const FIRST_DYNAMIC_OWNER = 3;

/** The owner records of one host: a small return stack each, in the arena, and the object behind it on this thread. */
export class Owners {
  private readonly objects: (MemOwner | null)[];
  private readonly i32: Int32Array;
  private readonly base: number;
  private readonly attached: 0 | 1;
  private next = FIRST_DYNAMIC_OWNER;

  constructor(i32: Int32Array, layout: ArenaLayout, attached: 0 | 1) {
    this.i32 = i32;
    this.attached = attached;
    this.base = layout.ownersAt;
    this.objects = Array.from({ length: layout.maxOwners }, () => null);
  }

  /** Word offset of an owner's record. */
  recordAt(ownerId: number): number {
    return this.base + ownerId * OWNER_WORDS;
  }

  /**
   * Gives `owner` a record with a clean stack and push limit 0.
   * @throws `ERR_NETMEM_OWNERS_EXHAUSTED` (ENOSPC), `ERR_NETMEM_WRONG_THREAD` on a thread that attached.
   */
  claim(owner: MemOwner): number {
    const capacity = this.objects.length;
    for (let tries = 0; tries < capacity; tries++) {
      const id = this.next;
      this.next = id + 1 < capacity ? id + 1 : FIRST_DYNAMIC_OWNER;
      if (this.objects[id] === null) return this.claimId(id, owner);
    }
    throw new NetmemError({
      code: "ERR_NETMEM_OWNERS_EXHAUSTED",
      errno: "ENOSPC",
      reason: `all ${capacity} owner records are in use`,
      remedy: "Destroy pools that are no longer needed, or raise maxOwners.",
      param: "maxOwners",
      value: capacity,
    });
  }

  /**
   * Claims a fixed id (the page allocator's).
   * @throws `ERR_NETMEM_OWNER_TAKEN` (EBUSY) when somebody has it; a second page allocator would forget every page.
   */
  claimId(id: number, owner: MemOwner): number {
    if (this.attached !== 0) failWrongThread("owners.claim");
    if (this.objects[id] !== null) this.failTaken(id);
    const at = this.recordAt(id);
    this.i32.fill(0, at, at + OWNER_WORDS);
    this.i32[at + OWN_TYPE] = owner.memType;
    this.objects[id] = owner;
    return id;
  }

  /** Gives the record back; nothing may be out any more. */
  release(id: number): void {
    const at = this.recordAt(id);
    this.i32[at + OWN_COUNT] = 0;
    this.i32[at + OWN_LIMIT] = 0;
    this.objects[id] = null;
  }

  private failTaken(id: number): never {
    throw new NetmemError({
      code: "ERR_NETMEM_OWNER_TAKEN",
      errno: "EBUSY",
      reason: `owner record ${id} belongs to ${this.describe(id)}`,
      remedy: "Install the page allocator and page_shared once per host.",
      param: "id",
      value: id,
    });
  }

  get(id: number): MemOwner | null {
    return this.objects[id] ?? null;
  }

  /** Memory type of a live owner's buffers. */
  typeOf(id: number): number {
    return this.i32[this.recordAt(id) + OWN_TYPE]!;
  }

  describe(id: number): string {
    if (id === OWNER_NONE) return "the page allocator or a provider";
    return this.objects[id]?.name ?? `owner ${id}`;
  }
}
