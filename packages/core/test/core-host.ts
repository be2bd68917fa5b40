import { VirtualClock } from "@netmem/testing";
import { expect } from "vitest";
import {
  asPageRef,
  createHost,
  failReturn,
  GEN_MASK,
  GEN_ONE,
  genOf,
  type Host,
  type HostParams,
  idxOf,
  INFO_ORDER_MASK,
  makeRef,
  type MemModel,
  type MemOwner,
  MemType,
  META_SHARED,
  type NetmemRef,
  NetmemState,
  OWN_LIMIT,
  OWN_STACK,
  OWNER_ORDER0,
  ownerTag,
  type PageAllocator,
  type PageRef,
  putNetmem,
  REF_MASK,
} from "../src/index.ts";

const PLAIN_OUT = ownerTag(OWNER_ORDER0, NetmemState.Out);

/** A page allocator of the simplest kind: never splits or merges what came back. Core's tests cannot use `@netmem/mm`. */
export class FakePages implements PageAllocator, MemOwner {
  readonly name = "fake pages";
  readonly memType: number = MemType.PageOrder0;
  readonly totalPageCount: number;
  private readonly host: Host;
  private readonly free: number[][] = [];
  private next: number;
  private freeCount: number;

  constructor(host: Host) {
    this.host = host;
    this.next = host.layout.firstPageIdx;
    this.totalPageCount = host.layout.pageCount - this.next;
    this.freeCount = this.totalPageCount;
    host.owners.claimId(OWNER_ORDER0, this);
  }

  allocPages(order: number): PageRef | 0 {
    const idx = this.free[order]?.pop() ?? this.cut(order);
    if (idx === 0) return 0;
    const { i32, infoAt } = this.host;
    this.freeCount -= 2 ** order;
    const gen = i32[idx]! & GEN_MASK;
    i32[infoAt + idx] = order;
    i32[idx] = PLAIN_OUT | (order > 0 ? META_SHARED : 0) | gen;
    return asPageRef(makeRef(idx, gen, 0));
  }

  allocBulk(out: Int32Array, max: number): number {
    let n = 0;
    for (; n < max; n++) {
      const ref = this.allocPages(0);
      if (ref === 0) break;
      out[n] = ref;
    }
    return n;
  }

  freePage(ref: PageRef): void {
    const { i32, infoAt } = this.host;
    const idx = idxOf(ref);
    if ((i32[idx]! & ~META_SHARED) !== (PLAIN_OUT | genOf(ref))) failReturn(this.host, ref, OWNER_ORDER0);
    const order = i32[infoAt + idx]! & INFO_ORDER_MASK;
    i32[idx] = (genOf(ref) + 1) & GEN_MASK;
    (this.free[order] ??= []).push(idx);
    this.freeCount += 2 ** order;
  }

  freeBulk(refs: Int32Array, count: number): void {
    for (const ref of refs.subarray(0, count)) this.freePage(asPageRef(ref));
  }

  freePageCount(): number {
    return this.freeCount;
  }

  returnSlow(ref: NetmemRef): void {
    putNetmem(this.host, ref);
  }

  private cut(order: number): number {
    const size = 2 ** order;
    const idx = Math.ceil(this.next / size) * size;
    if (idx + size > this.host.layout.pageCount) return 0;
    this.next = idx + size;
    return idx;
  }
}

export interface CoreHost {
  readonly host: Host;
  readonly pages: FakePages;
}

/** A host of 4 MiB over {@link FakePages}. */
export function createCoreHost(params: Partial<HostParams> = {}): CoreHost {
  const host = createHost({
    arenaBytes: 4 * 2 ** 20,
    clock: new VirtualClock(),
    pageAllocator: (made) => new FakePages(made),
    ...params,
  });
  return { host, pages: host.pages as FakePages };
}

/** A page from the allocator; the tests that use it never exhaust it. */
export function takePage({ pages }: CoreHost, order = 0): PageRef {
  const ref = pages.allocPages(order);
  if (ref === 0) throw new Error("out of pages");
  return ref;
}

/** What an owner's slow path was asked. */
export interface SlowCall {
  readonly ref: NetmemRef;
  readonly allowDirect: boolean;
}

/** An owner as a page pool or a provider would be: a return stack of `limit` entries, drained through its type's model. */
export class FakeOwner implements MemOwner {
  readonly memType: number;
  readonly name: string;
  readonly id: number;
  readonly slowCalls: SlowCall[] = [];
  /** Called by the slow path; by default a full stack is drained, which makes room for the buffer. */
  onSlow: (ref: NetmemRef, allowDirect: boolean) => void;
  private readonly host: Host;

  constructor(host: Host, memType: number, limit: number) {
    this.host = host;
    this.memType = memType;
    this.id = host.owners.claim(this);
    this.name = `fake owner ${this.id}`;
    this.onSlow = (ref) => this.pushAfterDrain(ref);
    host.i32[this.at + OWN_LIMIT] = limit;
  }

  get at(): number {
    return this.host.owners.recordAt(this.id);
  }

  get count(): number {
    return this.host.i32[this.at]!;
  }

  /** Armed references on the stack, oldest first. */
  stack(): number[] {
    return [...this.host.i32.subarray(this.at + OWN_STACK, this.at + OWN_STACK + this.count)];
  }

  /** Hands the buffer to a user. `ref` is armed, or fresh from the page allocator. */
  handOut<R extends NetmemRef>(ref: R): R {
    this.host.i32[idxOf(ref)] = ownerTag(this.id, NetmemState.Out) | genOf(ref);
    return ref;
  }

  returnSlow(ref: NetmemRef, allowDirect: boolean): void {
    this.slowCalls.push({ ref, allowDirect });
    this.onSlow(ref, allowDirect);
  }

  /** Empties the stack into the type's model. */
  drain(): void {
    const count = this.count;
    const refs = this.host.i32.slice(this.at + OWN_STACK, this.at + OWN_STACK + count);
    this.host.i32[this.at] = 0;
    this.host.memTypes.modelOf(this.memType)?.drain(this.id, refs, count);
  }

  private pushAfterDrain(ref: NetmemRef): void {
    this.drain();
    const next = (ref + GEN_ONE) & REF_MASK;
    this.host.i32[idxOf(ref)] = ownerTag(this.id, NetmemState.Pooled) | genOf(next as NetmemRef);
    this.host.i32[this.at + OWN_STACK] = next;
    this.host.i32[this.at] = 1;
  }
}

/** A type whose model remembers what came home. */
export class FakeModel implements MemModel {
  readonly type: number;
  readonly name: string;
  readonly home: number[] = [];

  constructor(host: Host, name: string) {
    this.name = name;
    this.type = host.memTypes.numberOf(name);
    host.memTypes.install(this);
  }

  drain(_ownerId: number, refs: Int32Array, count: number): void {
    this.home.push(...refs.subarray(0, count));
  }
}

/** Every word of the table: descriptors, owners, the page allocator's. */
export function snapshot(host: Host): Int32Array {
  return host.i32.slice(0, (host.layout.firstPageIdx << host.pageShift) >> 2);
}

/** The error that `call` throws; fails when there is none. */
export function errorOf(call: () => unknown): Record<string, unknown> {
  try {
    call();
  } catch (error) {
    return error as Record<string, unknown>;
  }
  throw new Error("nothing was thrown");
}

/** Runs `misuse`, which must throw an error with this code and change nothing. */
export function expectRefused(host: Host, code: string, misuse: () => unknown): Record<string, unknown> {
  const before = snapshot(host);
  const error = errorOf(misuse);
  expect(error).toMatchObject({ name: "NetmemError", code });
  expect(before.findIndex((word, at) => word !== host.i32[at])).toBe(-1);
  return error;
}
