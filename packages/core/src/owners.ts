/*
 * Owner records lie in the arena and belong to one thread each, which its identity line names. What a thread pushes onto
 * is found through `homes`, a table of its own: for owners of other threads it names the record of "nobody", which has no
 * room, so that the push of return-dispatch.ts goes on to its slow path without a look at another thread's hot line.
 */
import { readText, writeText } from "./arena-text.ts";
import { NetmemError } from "./errors.ts";
import {
  type ArenaLayout,
  OWN_COUNT,
  OWN_LIMIT,
  OWN_NAME,
  OWN_NAME_WORDS,
  OWN_PART_OF,
  OWN_THREAD,
  OWN_TYPE,
  OWNER_WORDS,
} from "./layout.ts";
import type { NetmemRef } from "./netmem-ref.ts";

/** Something that buffers belong to: a page pool, the page allocator, an XSK pool, a device-memory allocator. */
export interface MemOwner {
  /** Memory type of its buffers. */
  readonly memType: number;
  readonly name: string;
  /**
   * Takes a buffer that the one-compare push could not: shared, stack full, or the owner asked for every return. Called
   * on the owner's thread, also for what other threads returned. `allowDirect` is the kernel's napi_direct. Throws a
   * misuse error when the reference is not a live one of this owner.
   */
  returnSlow(ref: NetmemRef, allowDirect: boolean): void;
  /**
   * Takes entries of `refs[from..end)`, which worker `worker` returned, for as long as their meta words name this owner, the
   * first one at least, and returns how many. Each holds one reference and is to be checked: what is not live goes to
   * `refuseReturn`. The state may be "returning" instead of "out". May overwrite what it took. Must not throw. Without this
   * hook each entry is returned as if the owner's own thread had done it, which is all that most owners need.
   */
  returnRemote?(refs: Int32Array, from: number, end: number, worker: number): number;
}

/** An owner as any thread sees it. */
export interface OwnerInfo {
  readonly ownerId: number;
  readonly name: string;
  readonly memType: number;
  /** Its thread. */
  readonly workerId: number;
}

/** Ids that the page allocator claims; the others are handed out from {@link FIRST_DYNAMIC_OWNER} on. */
export const OWNER_NONE = 0;
export const OWNER_ORDER0 = 1;
export const OWNER_SHARED = 2;
const FIRST_DYNAMIC_OWNER = 3;

/** The owner records of one host: a small return stack each, in the arena, and the object behind it on this thread. */
export class Owners {
  /** Word offset of the record that this thread pushes onto, by owner id; that of {@link OWNER_NONE} for foreign owners. */
  readonly homes: Int32Array;
  private readonly objects: (MemOwner | null)[];
  private readonly i32: Int32Array;
  private readonly base: number;
  private readonly workerId: number;
  private readonly onDeadRelease: (threadId: number) => void;
  private next = FIRST_DYNAMIC_OWNER;

  /** @param onDeadRelease called after the release of an owner that was taken over, with its worker's id. */
  constructor(i32: Int32Array, layout: ArenaLayout, workerId: number, onDeadRelease: (threadId: number) => void) {
    this.onDeadRelease = onDeadRelease;
    this.i32 = i32;
    this.workerId = workerId;
    this.base = layout.ownersAt;
    this.homes = new Int32Array(layout.maxOwners).fill(this.base);
    this.objects = Array.from({ length: layout.maxOwners }, () => null);
  }

  /** Word offset of an owner's record. */
  recordAt(ownerId: number): number {
    return this.base + ownerId * OWNER_WORDS;
  }

  /**
   * Gives `owner` a record with a clean stack and push limit 0; its buffers come home to this thread.
   * @throws `ERR_NETMEM_OWNERS_EXHAUSTED` (ENOSPC).
   */
  claim(owner: MemOwner): number {
    const capacity = this.objects.length;
    for (let tries = 0; tries < capacity; tries++) {
      const id = this.next;
      this.next = id + 1 < capacity ? id + 1 : FIRST_DYNAMIC_OWNER;
      if (this.take(id)) return this.fill(id, owner);
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
    if (id >= this.objects.length || !this.take(id)) this.failTaken(id);
    return this.fill(id, owner);
  }

  /**
   * For an owner that every thread has its own part of, such as the page allocator: meta words name the fixed id
   * everywhere, each thread has an object and a stack of its own for it. Returns the word offset of this thread's record.
   * @throws `ERR_NETMEM_OWNER_TAKEN` (EBUSY) when this thread has one, `ERR_NETMEM_OWNERS_EXHAUSTED` (ENOSPC).
   */
  claimShared(id: number, owner: MemOwner): number {
    if (this.objects[id] !== null) this.failTaken(id);
    if (this.workerId === 0) return this.recordAt(this.claimId(id, owner));
    const part = this.claim(owner);
    const at = this.recordAt(part);
    this.i32[at + OWN_PART_OF] = id;
    this.objects[id] = owner;
    this.homes[id] = at;
    return at;
  }

  /** Undoes {@link claimShared} on a thread that attached. Nothing is on the stack any more. */
  releaseShared(id: number): void {
    const part = ((this.homes[id]! - this.base) / OWNER_WORDS) | 0;
    if (this.workerId === 0 || this.objects[id] === null) return;
    this.objects[id] = null;
    this.homes[id] = this.base;
    this.release(part);
  }

  /** The fixed id that a record is one thread's part of, 0 for a record of its own. */
  partOf(id: number): number {
    return this.i32[this.recordAt(id) + OWN_PART_OF]!;
  }

  /** Makes `owner` the object of a record whose thread is gone and was taken over by this one. */
  adopt(id: number, owner: MemOwner): void {
    this.objects[id] = owner;
    this.homes[id] = this.recordAt(id);
  }

  /** Gives the record back; nothing may be out any more. */
  release(id: number): void {
    const at = this.recordAt(id);
    this.i32[at + OWN_COUNT] = 0;
    this.i32[at + OWN_LIMIT] = 0;
    this.objects[id] = null;
    this.homes[id] = this.base;
    const threadId = this.threadOf(id);
    // Last, with everything before it: from here on any thread may claim the record. Partner: take.
    Atomics.store(this.i32, at + OWN_THREAD, 0);
    if (threadId !== this.workerId && threadId >= 0) this.onDeadRelease(threadId);
  }

  /** The owner's object on this thread, null when its buffers go home to another one. */
  get(id: number): MemOwner | null {
    return this.objects[id] ?? null;
  }

  /** The worker whose thread the owner is on, -1 for a record that nobody has. */
  threadOf(id: number): number {
    if (id >= this.objects.length) return -1;
    return this.i32[this.recordAt(id) + OWN_THREAD]! - 1;
  }

  /** Memory type of a live owner's buffers. */
  typeOf(id: number): number {
    return this.i32[this.recordAt(id) + OWN_TYPE]!;
  }

  /** The live owners of a host, or of one worker. */
  list(workerId = -1): OwnerInfo[] {
    return Array.from({ length: this.objects.length }, (_, ownerId) => ownerId)
      .filter((id) => (workerId < 0 ? this.threadOf(id) >= 0 : this.threadOf(id) === workerId))
      .map((ownerId) => ({
        ownerId,
        name: this.nameOf(ownerId),
        memType: this.typeOf(ownerId),
        workerId: this.threadOf(ownerId),
      }));
  }

  describe(id: number): string {
    if (id === OWNER_NONE) return "the page allocator or a provider";
    const thread = this.threadOf(id);
    if (thread < 0) return `owner ${id}`;
    return thread === this.workerId || this.get(id) !== null
      ? this.nameOf(id)
      : `${this.nameOf(id)} of worker ${thread}`;
  }

  private nameOf(id: number): string {
    return this.objects[id]?.name ?? readText(this.i32, this.recordAt(id) + OWN_NAME, OWN_NAME_WORDS);
  }

  private take(id: number): boolean {
    // Partner: release. Two threads may go for one record.
    return Atomics.compareExchange(this.i32, this.recordAt(id) + OWN_THREAD, 0, this.workerId + 1) === 0;
  }

  private fill(id: number, owner: MemOwner): number {
    const at = this.recordAt(id);
    const { i32 } = this;
    i32.fill(0, at, at + OWN_THREAD);
    i32.fill(0, at + OWN_TYPE, at + OWNER_WORDS);
    i32[at + OWN_TYPE] = owner.memType;
    // An owner may name itself by the id that it is about to get.
    writeText(i32, at + OWN_NAME, OWN_NAME_WORDS, (owner as Partial<MemOwner>).name ?? `owner ${id}`);
    this.objects[id] = owner;
    this.homes[id] = at;
    return id;
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
}
