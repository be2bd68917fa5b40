import fc from "fast-check";
import { expect, test } from "vitest";
import {
  asNetmemRef,
  genOf,
  getNetmem,
  idxOf,
  makeRef,
  META_GEN_MASK,
  metaOwner,
  type NetmemRef,
  putNetmem,
  returnNetmem,
  returnNetmemBulk,
} from "../src/index.ts";
import { createCoreHost, expectRefused, FakeModel, FakeOwner, takePage } from "./core-host.ts";

const OWNER_COUNT = 6;
const BUFFERS_EACH = 8;

interface Command {
  readonly kind: "alloc" | "return" | "bulk" | "drain" | "get" | "put" | "misuse";
  /** Owner, buffer or number of buffers. */
  readonly n: number;
}

const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("alloc" as const), n: fc.nat(OWNER_COUNT - 1) }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constantFrom("return" as const, "get" as const, "put" as const), n: fc.nat(1000) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("bulk" as const), n: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("drain" as const), n: fc.nat(OWNER_COUNT - 1) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("misuse" as const), n: fc.nat(1000) }) },
);

interface Out {
  readonly ref: NetmemRef;
  readonly owner: number;
  /** Page-level holders beyond the first. */
  extra: number;
}

/** Owners of six types, half of them with net_iovs, with stacks of 1 to 6 entries; and who holds what. */
class World {
  readonly host = createCoreHost().host;
  private readonly models = Array.from({ length: OWNER_COUNT }, (_, k) => new FakeModel(this.host, `type-${k}`));
  private readonly owners = this.models.map(({ type }, k) => new FakeOwner(this.host, type, k + 1));
  /** Buffers at home with each owner, beyond its stack. */
  private readonly home: NetmemRef[][] = this.owners.map(() => []);
  private readonly out: Out[] = [];
  private readonly dead: NetmemRef[] = [];

  constructor() {
    const { host } = this;
    for (const [k, list] of this.home.entries()) {
      const area = k % 2 === 0 ? null : host.areas.add({ name: `area ${k}`, count: BUFFERS_EACH, pageShift: 12 });
      for (let n = 0; n < BUFFERS_EACH; n++) {
        list.push(area === null ? takePage({ host, pages: host.pages as never }) : host.areas.refAt(area, n));
      }
    }
  }

  run({ kind, n }: Command): void {
    if (kind === "alloc") this.alloc(n);
    else if (kind === "bulk") this.bulk(n);
    else if (kind === "drain") this.drain(n);
    else if (kind === "misuse") this.misuse(n);
    else this.touch(kind, n);
    this.check();
  }

  /** Exactly once: per owner, what is at home, on the stack and out makes all; and no reference is in two places. */
  private check(): void {
    const seen = new Set<number>();
    for (const [k, owner] of this.owners.entries()) {
      const armed = [...this.home[k]!, ...this.models[k]!.home, ...owner.stack()];
      const out = this.out.filter((entry) => entry.owner === k);
      expect(armed.length + out.length).toBe(BUFFERS_EACH);
      for (const ref of [...armed, ...out.map((entry) => entry.ref)]) seen.add(idxOf(asNetmemRef(ref)));
      for (const { ref } of out) expect(metaOwner(this.host.i32[idxOf(ref)]!)).toBe(owner.id);
      expect(owner.count).toBeLessThanOrEqual(k + 1);
    }
    expect(seen.size).toBe(OWNER_COUNT * BUFFERS_EACH);
  }

  private alloc(k: number): void {
    this.home[k]!.push(...this.models[k]!.home.splice(0).map((ref) => asNetmemRef(ref)));
    const ref = this.home[k]!.shift();
    if (ref !== undefined) this.out.push({ ref: this.owners[k]!.handOut(ref), owner: k, extra: 0 });
  }

  /** Buffers that were shared once take the slow path to the same place. */
  private bulk(n: number): void {
    const gone = this.out.filter(({ extra }) => extra === 0).slice(0, n);
    returnNetmemBulk(
      this.host,
      Int32Array.from(gone, ({ ref }) => ref),
      gone.length,
    );
    for (const entry of gone) this.bury(entry);
  }

  private drain(k: number): void {
    this.owners[k]!.drain();
    expect(this.owners[k]!.count).toBe(0);
  }

  private touch(kind: "return" | "get" | "put", n: number): void {
    const entry = this.out[n % Math.max(this.out.length, 1)];
    if (entry === undefined) return;
    const isPage = (entry.ref & 1) === 0;
    if (kind === "get") {
      getNetmem(this.host, entry.ref);
      if (isPage) entry.extra++;
    } else if (kind === "put" && isPage && entry.extra === 0) {
      expectRefused(this.host, "ERR_NETMEM_POOL_PAGE_FREED", () => putNetmem(this.host, entry.ref));
    } else if (kind === "put") {
      putNetmem(this.host, entry.ref);
      if (isPage) entry.extra--;
    } else if (entry.extra === 0) {
      returnNetmem(this.host, entry.ref);
      this.bury(entry);
    }
  }

  private misuse(n: number): void {
    const ref = this.dead[this.dead.length - 1 - (n % Math.min(this.dead.length, 200))];
    if (ref === undefined) return;
    const isNextUser = this.out.some((entry) => entry.ref === ref);
    const meta = this.host.i32[idxOf(ref)]! & META_GEN_MASK;
    const isHome = !this.out.some((entry) => idxOf(entry.ref) === idxOf(ref));
    const code =
      isHome && meta === ((genOf(ref) + 1) & META_GEN_MASK) ? "ERR_NETMEM_DOUBLE_PUT" : "ERR_NETMEM_STALE_REF";
    if (!isNextUser) expectRefused(this.host, code, () => returnNetmem(this.host, ref));
    expectRefused(this.host, "ERR_NETMEM_BAD_REF", () => returnNetmem(this.host, makeRef(n % 64, genOf(ref), 0)));
  }

  private bury(entry: Out): void {
    this.out.splice(this.out.indexOf(entry), 1);
    this.dead.push(entry.ref);
  }
}

test("every buffer comes home to its own owner exactly once, whatever the calls", () => {
  let ran = 0;
  fc.assert(
    fc.property(fc.array(command, { minLength: 30, maxLength: 200, size: "max" }), (commands) => {
      const world = new World();
      for (const command of commands) world.run(command);
      ran += commands.length;
    }),
    { seed: 20260104, numRuns: 80 },
  );
  expect(ran).toBeGreaterThanOrEqual(5000);
});
