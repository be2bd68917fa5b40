import { type NetmemRef, returnNetmemBulk } from "@netmem/core";
import { checkEqual, Prng, type SuiteCase } from "@netmem/testing";
import type { PagePool } from "../page-pool.ts";
import { ProviderStand } from "./provider-stand.ts";
import type { ProviderSubject } from "./provider-subject.ts";

const MAX_HELD = 300;
/** Steps between walks over the whole netmem table. */
const VERIFY_EVERY = 16;

interface Held {
  readonly pool: PagePool;
  readonly ref: NetmemRef;
  readonly seed: number;
}

/** Patterns repeat with 256 seeds, and so may the places of buffers: keep the two apart. */
function seedOf(n: number): number {
  return n + (n >> 8);
}

function keepsBuffersApart(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  const pool = stand.open();
  const refs = stand.takeAll(pool);
  for (const [n, ref] of refs.entries()) stand.mark(ref, seedOf(n));
  for (const [n, ref] of refs.entries()) stand.checkMark(ref, seedOf(n));
  stand.giveMany(pool, refs);
  stand.closeAndCheckHome();
}

function survivesTraffic(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  for (const seed of [1, 2, 3]) {
    const traffic = new Traffic(stand, new Prng(seed));
    for (let step = 0; step < 300; step++) traffic.step(step % VERIFY_EVERY === 0);
    traffic.end();
  }
}

function servesPieces(subject: ProviderSubject): void {
  const stand = new ProviderStand(subject);
  const pool = stand.open({ poolSize: 2 });
  const pieces: NetmemRef[] = [];
  for (let n = 0; n < 400; n++) {
    const ref = pool.allocFrag(1 + ((n * 531) % pool.bufferBytes));
    if (ref !== 0) pieces.push(ref);
    if (pieces.length > 20) pool.put(pieces.splice((n * 7) % 20, 1)[0]!, -1, n % 2 === 0);
    if (n % VERIFY_EVERY === 0) stand.verify();
  }
  stand.giveMany(pool, pieces);
  stand.closeAndCheckHome();
}

/** Takes, gives, clones, destroys and makes pools at random; knows what every buffer must contain. */
class Traffic {
  private readonly stand: ProviderStand;
  private readonly prng: Prng;
  private readonly pools: PagePool[];
  private held: Held[] = [];
  private count = 0;

  constructor(stand: ProviderStand, prng: Prng) {
    this.stand = stand;
    this.prng = prng;
    this.pools = [this.newPool(), this.newPool()];
  }

  step(verifies: boolean): void {
    const { prng, pools } = this;
    const kind = prng.range(0, 9);
    if (kind < 4) this.take(pools[prng.range(0, pools.length - 1)]!, prng.range(1, 40));
    else if (kind < 6) this.giveSome(prng.range(1, 40));
    else if (kind < 8) this.giveBulk(prng.range(1, 40));
    else if (kind === 8) this.splitOne();
    else this.replacePool();
    if (this.held.length > MAX_HELD) this.giveSome(MAX_HELD);
    if (verifies) this.stand.verify();
    else this.stand.watched.check();
  }

  end(): void {
    this.giveSome(this.held.length);
    checkEqual(this.held.length, 0, "buffers that were not given back");
    this.stand.closeAndCheckHome();
  }

  private newPool(): PagePool {
    return this.stand.open({ poolSize: this.prng.range(1, 70) });
  }

  private take(pool: PagePool, wanted: number): void {
    for (let n = 0; n < wanted; n++) {
      const ref = pool.allocNetmem();
      if (ref === 0) return;
      const seed = seedOf(this.count++);
      this.stand.mark(ref, seed);
      this.held.push({ pool, ref, seed });
    }
  }

  private draw(): Held {
    const at = this.prng.range(0, this.held.length - 1);
    const one = this.held[at]!;
    const last = this.held.pop()!;
    if (at < this.held.length) this.held[at] = last;
    return one;
  }

  private giveSome(wanted: number): void {
    for (let n = Math.min(wanted, this.held.length); n > 0; n--) {
      const { pool, ref, seed } = this.draw();
      this.stand.checkMark(ref, seed);
      pool.put(ref, -1, this.prng.bool(0.5));
    }
  }

  private giveBulk(wanted: number): void {
    const count = Math.min(wanted, this.held.length);
    const refs = new Int32Array(count);
    for (let n = 0; n < count; n++) {
      const { ref, seed } = this.draw();
      this.stand.checkMark(ref, seed);
      refs[n] = ref;
    }
    returnNetmemBulk(this.stand.host, refs, count);
  }

  /** One buffer gets three holders, two of which let go at once. */
  private splitOne(): void {
    const one = this.held.find(({ pool }) => this.pools.includes(pool));
    if (one === undefined) return;
    const { pool, ref } = one;
    pool.refNetmem(ref);
    pool.refNetmem(ref);
    pool.put(ref, -1, false);
    pool.put(ref, -1, true);
  }

  /** As when a queue restarts: the new pool is there before the old one goes. */
  private replacePool(): void {
    const next = this.newPool();
    const old = this.pools.shift();
    old?.destroy();
    this.pools.push(next);
    this.stand.subject.passTime(this.prng.range(0, 3000));
  }
}

/** Buffers in use. */
export const trafficCases: readonly SuiteCase<ProviderSubject>[] = [
  { name: "gives every buffer bytes of its own", run: keepsBuffersApart },
  { name: "survives random traffic over pools that come and go", run: survivesTraffic },
  { name: "serves fragments", run: servesPieces },
];
