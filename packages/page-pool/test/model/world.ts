import { createHost, type Host, type Napi, type NetmemRef } from "@netmem/core";
import { FaultInjector, Prng, VirtualClock } from "@netmem/testing";
import { createPagePool, PagePoolFlag, type PagePoolParams } from "../../src/index.ts";
import { FakeDmaDevice } from "../fake-dma-device.ts";
import { FakeNiovProvider, providerParams } from "../fake-niov-provider.ts";
import { faultyPages } from "../fault-pages.ts";
import {
  type Buffer,
  check,
  checkPool,
  checkTable,
  fail,
  idxOfRef,
  isRecyclable,
  type Plain,
  PoolLedger,
} from "./ledger.ts";

const MAX_POOLS = 5;
const NIOV_COUNT = 120;
const DEAD_KEPT = 64;
export const KINDS = 7;

/** One host with several pools, and by its side the list of who holds what. */
export class World {
  readonly host: Host;
  readonly clock: VirtualClock = new VirtualClock();
  readonly faults: FaultInjector = new FaultInjector(new Prng(1));
  readonly dma: FakeDmaDevice = new FakeDmaDevice({ faults: this.faults });
  readonly provider: FakeNiovProvider;
  readonly napis: readonly Napi[] = [1, 2].map((id) => ({ id, listOwner: -1 }));
  readonly pools: PoolLedger[] = [];
  /** Buffers with pieces outside, and the pools' fragment pages. */
  readonly buffers: Buffer[] = [];
  readonly plains: Plain[] = [];
  /** References that were returned lately, newest last. */
  readonly dead: NetmemRef[] = [];
  private readonly refAt: Int32Array;
  /** The reference under which each index was known last. */
  private readonly lastRefAt: Int32Array;
  /** Pages of the arena that are neither free nor a pool's nor plain: rings, counters, the provider's. */
  private controlPages = -1;
  private created = 0;

  constructor() {
    this.host = createHost({
      arenaBytes: 8 * 2 ** 20,
      nodes: 2,
      clock: this.clock,
      pageAllocator: faultyPages(this.faults),
      dma: this.dma,
    });
    this.refAt = new Int32Array(this.host.layout.maxNetmems);
    this.lastRefAt = new Int32Array(this.host.layout.maxNetmems);
    this.provider = new FakeNiovProvider({
      host: this.host,
      count: NIOV_COUNT,
      readable: true,
      faults: this.faults,
      batch: 40,
    });
    this.watchProvider();
    this.host.pools.subscribe((kind, { id, inflight }) => {
      if (kind !== "del") return;
      check(inflight === 0, () => `I8: DEL of pool ${id} with ${inflight} in flight`);
      this.byId(id).dels++;
    });
    for (let kind = 0; kind < MAX_POOLS; kind++) this.create(kind, 3 + kind);
  }

  private watchProvider(): void {
    const { provider } = this;
    const allocNetmems = provider.allocNetmems.bind(provider);
    provider.allocNetmems = (pool, out, max) => {
      const count = allocNetmems(pool, out, max);
      if (count > 0) this.byId(pool.id).provided++;
      return count;
    };
    provider.destroy = (pool) => void this.byId(pool.id).providerDestroys++;
  }

  private byId(id: number): PoolLedger {
    return this.pools.find(({ pool }) => pool.id === id) ?? fail(`no pool ${id}`);
  }

  private paramsOf(kind: number): PagePoolParams {
    const napi = this.napis[kind % 2] ?? null;
    const kinds: readonly PagePoolParams[] = [
      { directRecycle: "napi", napi },
      { directRecycle: "napi", napi, order: 2, nid: 1 },
      { directRecycle: "ownerThread", clearOnEntry: true, nid: 0 },
      { directRecycle: "ownerThread", debug: true },
      { directRecycle: "napi", napi, ...providerParams(this.provider) },
      { directRecycle: "napi", cpuid: 2, flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev, maxLenBytes: 100 },
      { directRecycle: "ownerThread", ...providerParams(this.provider), debug: true },
    ];
    return kinds[kind % kinds.length]!;
  }

  create(kind: number, poolSize: number): void {
    if (this.pools.length >= MAX_POOLS) return;
    const params = this.paramsOf(kind);
    try {
      const pool = createPagePool(this.host, { ...params, poolSize, name: `pool ${this.created++}` });
      const ledger = new PoolLedger(pool, params.napi ?? null);
      this.pools.push(ledger);
      if (kind % 2 === 0) this.register(ledger);
    } catch (error) {
      if ((error as { code?: string }).code !== "ERR_NETMEM_NO_MEMORY") throw error;
    }
    this.controlPages = -1;
  }

  private register(ledger: PoolLedger): void {
    ledger.memId = this.host.mem.register(ledger.pool);
    const forget = ledger.pool.disconnect!;
    ledger.pool.disconnect = () => {
      ledger.disconnects++;
      forget();
    };
  }

  /** The next pool from number `x` on that is not destroyed. */
  pickPool(x: number): PoolLedger | null {
    const live = this.pools.filter(({ destroyed }) => !destroyed);
    return live[x % Math.max(1, live.length)] ?? null;
  }

  /** The next buffer from number `x` on that has a piece outside and pleases `want`. */
  pickBuffer(x: number, want: (buffer: Buffer) => boolean = () => true): Buffer | null {
    const n = this.buffers.length;
    for (let k = 0; k < n; k++) {
      const buffer = this.buffers[(x + k) % n]!;
      if (buffer.pieces > 0 && want(buffer)) return buffer;
    }
    return null;
  }

  outsideOf(ledger: PoolLedger): number {
    return this.buffers.reduce((n, buffer) => n + (buffer.home === ledger && ledger.frag !== buffer ? 1 : 0), 0);
  }

  isLive(ref: number): boolean {
    return this.refAt[idxOfRef(ref)] === ref || this.plains.some((plain) => plain.ref === ref);
  }

  /** A successful allocation. */
  adopt(home: PoolLedger, ref: NetmemRef): Buffer {
    const idx = idxOfRef(ref);
    check(this.refAt[idx] === 0, () => `I3: ${ref} was handed out while index ${idx} is out`);
    check(this.lastRefAt[idx] !== ref, () => `${ref} was handed out again without a new generation`);
    this.refAt[idx] = ref;
    const buffer: Buffer = { home, ref, pieces: 1, pageRefs: 0, pfmemalloc: false, offsets: [] };
    this.buffers.push(buffer);
    home.allocs++;
    return buffer;
  }

  /** A fragment page starts over in place. */
  restart(buffer: Buffer, ref: NetmemRef): void {
    this.bury(buffer.ref);
    check(
      idxOfRef(ref) === idxOfRef(buffer.ref) && ref !== buffer.ref,
      () => `page ${buffer.ref} did not start over as ${ref}`,
    );
    this.refAt[idxOfRef(ref)] = ref;
    buffer.ref = ref;
    buffer.pieces = 1;
    buffer.home.allocs++;
    buffer.home.inPlace++;
  }

  /** The pool moved on from its fragment page, or was destroyed. */
  leaveFrag(home: PoolLedger): void {
    const { frag } = home;
    home.frag = null;
    if (frag !== null && frag.pieces === 0) this.goHome(frag);
  }

  /** A user dropped one piece; true when it was the last reference. */
  dropPiece(buffer: Buffer): boolean {
    buffer.pieces--;
    if (buffer.pieces > 0 || buffer.home.frag === buffer) return false;
    buffer.home.puts++;
    this.goHome(buffer);
    return true;
  }

  private goHome(buffer: Buffer): void {
    this.buffers.splice(this.buffers.indexOf(buffer), 1);
    this.refAt[idxOfRef(buffer.ref)] = 0;
    if (!buffer.home.niov && buffer.pageRefs > 0) this.plains.push({ ref: buffer.ref, refs: buffer.pageRefs });
    else this.bury(buffer.ref);
    check(isRecyclable(buffer) || !buffer.home.niov, () => "a net_iov that is not recyclable");
  }

  bury(ref: NetmemRef): void {
    this.lastRefAt[idxOfRef(ref)] = ref;
    this.dead.push(ref);
    if (this.dead.length > DEAD_KEPT) this.dead.shift();
  }

  /** Everything that must hold after every command. */
  check(): void {
    for (const ledger of this.pools) {
      if (ledger.pool.freed) this.checkGone(ledger);
      else checkPool(ledger, this.outsideOf(ledger));
    }
    checkTable(this.pools, this.refAt, this.buffers.length);
    this.sweep();
    this.checkPages();
  }

  /** I8 for a pool that is gone. */
  private checkGone(ledger: PoolLedger): void {
    const { pool } = ledger;
    check(ledger.destroyed && this.outsideOf(ledger) === 0, () => `I8: ${pool.name} is gone too early`);
    check(ledger.dels === 1, () => `I8: ${ledger.dels} DEL for ${pool.name}`);
    check(
      ledger.providerDestroys === (ledger.niov ? 1 : 0),
      () => `I8: provider.destroy ${ledger.providerDestroys} times`,
    );
    check(
      ledger.disconnects === (ledger.memId === 0 ? 0 : 1),
      () => `I8: ${ledger.disconnects} disconnects of ${pool.name}`,
    );
    check(this.host.mem.lookup(ledger.memId) === null, () => `memory id ${ledger.memId} outlived ${pool.name}`);
  }

  /** Forgets pools that are gone. */
  private sweep(): void {
    for (let n = this.pools.length - 1; n >= 0; n--) {
      if (!this.pools[n]!.pool.freed) continue;
      this.pools.splice(n, 1);
      this.controlPages = -1;
    }
  }

  /** No page is lost or twice: free + pools + plain + control is constant; I7 for the mapped pools. */
  private checkPages(): void {
    let pages = this.host.pages.freePageCount() + this.plains.length;
    let mapped = 0;
    for (const { pool, niov, mapped: isMapped, destroyed } of this.pools) {
      pages += niov ? 0 : pool.inflight() << pool.order;
      if (isMapped && !destroyed) mapped += pool.inflight();
    }
    const control = this.host.pages.totalPageCount - pages;
    if (this.controlPages < 0) this.controlPages = control;
    check(
      control === this.controlPages,
      () => `pages are lost or doubled: ${control} beside the pools, not ${this.controlPages}`,
    );
    check(this.dma.live.size === mapped, () => `I7: ${this.dma.live.size} mappings for ${mapped} pages`);
  }
}
