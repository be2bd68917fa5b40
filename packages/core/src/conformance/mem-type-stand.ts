import { check, checkEqual, Prng } from "@netmem/testing";
import type { Host } from "../host.ts";
import { META_OUT, META_STATE_MASK, metaOwner } from "../meta.ts";
import { asNetmemRef, GEN_MASK, genOf, idxOf, type NetmemRef } from "../netmem-ref.ts";
import type { MemTypeSubject } from "./mem-type-subject.ts";

/** The books of one case: what is out, and that all of it is what it should be. */
export class MemTypeStand {
  readonly host: Host;
  readonly prng: Prng = new Prng(1);
  private readonly subject: MemTypeSubject;
  private readonly out = new Set<number>();

  constructor(subject: MemTypeSubject) {
    this.subject = subject;
    this.host = subject.host;
  }

  get outCount(): number {
    return this.out.size;
  }

  /** One buffer, which must be live, of the type, and in nobody else's hands; null when there is none. */
  take(): NetmemRef | null {
    const ref = this.subject.allocator.allocNetmem();
    return ref === 0 ? null : this.enter(ref);
  }

  /** Up to `max` buffers by one bulk call. */
  takeBulk(max: number): NetmemRef[] {
    const refs = new Int32Array(max);
    const count = this.subject.allocator.allocBulk(refs, max);
    check(count >= 0 && count <= max, `allocBulk returned ${count} for ${max}`);
    return Array.from(refs.subarray(0, count), (ref) => this.enter(asNetmemRef(ref)));
  }

  /** Everything that there is. */
  takeAll(): NetmemRef[] {
    const refs: NetmemRef[] = [];
    for (let ref = this.take(); ref !== null; ref = this.take()) refs.push(ref);
    checkEqual(this.out.size, this.subject.capacity, "buffers out at once");
    return refs;
  }

  /** Says that somebody returned the buffer. It must not be live any more. */
  leave(ref: NetmemRef): void {
    check(this.out.delete(idxOf(ref)), `buffer ${idxOf(ref)} was not out`);
    check(!this.isLive(ref), `buffer ${idxOf(ref)} is live after its return`);
  }

  isLive(ref: NetmemRef): boolean {
    const meta = this.host.i32[idxOf(ref)]!;
    return (meta & META_STATE_MASK) === META_OUT && (meta & GEN_MASK) === genOf(ref);
  }

  /** Every buffer can be had again, so none was lost. */
  checkHome(): void {
    checkEqual(this.out.size, 0, "buffers that the case still has");
    for (const ref of this.takeAll()) {
      this.subject.allocator.put(ref, -1, true);
      this.leave(ref);
    }
  }

  private enter(ref: NetmemRef): NetmemRef {
    const idx = idxOf(ref);
    check(this.isLive(ref), `an allocated reference is not live: 0x${ref.toString(16)}`);
    check(!this.out.has(idx), `buffer ${idx} was handed out twice`);
    const owner = metaOwner(this.host.i32[idx]!);
    checkEqual(this.host.owners.typeOf(owner), this.subject.memType, "memory type of the buffer's owner");
    this.out.add(idx);
    return ref;
  }
}
