import { type Host, type InfoSink, type NetmemRef, type PoolHandle } from "@netmem/core";
import { FakeNiovProvider } from "./fake-niov-provider.ts";
import { PlainProvider } from "./plain-provider.ts";
import { StashProvider } from "./stash-provider.ts";

export interface Mistake {
  /** What the case reports. */
  readonly says: RegExp;
  readonly make: (host: Host) => PlainProvider | FakeNiovProvider;
}

/** A provider with one mistake in it, for the case of the suite that is there to notice it. */
export const misbehaving: Readonly<Record<string, Mistake>> = {
  "gives all it has, then 0, and all of it again": {
    says: /threw Error: exhausted/,
    make: (host) =>
      new (class extends PlainProvider {
        override allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
          const got = super.allocNetmems(pool, out, max);
          if (got === 0) throw new Error("exhausted");
          return got;
        }
      })(host),
  },

  "fills and drains a pool by amounts around its cache and ring": {
    says: /expected 129, got 128/,
    make: (host) => new StashProvider(host, 128),
  },

  "gives again what came back": {
    says: /expected 3, got/,
    make: (host) =>
      new (class extends FakeNiovProvider {
        private readonly limbo: NetmemRef[] = [];
        override releaseNetmem(_pool: PoolHandle, ref: NetmemRef): boolean {
          this.limbo.push(ref);
          return false;
        }
        override destroy(pool: PoolHandle): void {
          super.destroy(pool);
          this.free.push(...this.limbo.splice(0));
        }
      })({ host, count: 200 }),
  },

  "gives no more than it is asked for": {
    says: /returned 64 for at most 1/,
    make: (host) =>
      new (class extends PlainProvider {
        override allocNetmems(pool: PoolHandle, _out: Int32Array, max: number): number {
          const batch = new Int32Array(64);
          const got = super.allocNetmems(pool, batch, 64);
          _out.set(batch.subarray(0, Math.min(got, max)));
          return got;
        }
      })(host),
  },

  "gives no buffer to two pools": {
    says: /is out already/,
    make: (host) =>
      new (class extends StashProvider {
        override allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
          const twin = this.stash.slice(0, max);
          const got = super.allocNetmems(pool, out, max);
          if (this.pools > 1) this.stash.unshift(...twin.slice(0, got));
          return got;
        }
      })(host, 300),
  },

  "owns what it gave, and nothing else": {
    says: /a page that the provider never had is owned/,
    make: (host) =>
      new (class extends PlainProvider {
        override owns(ref: NetmemRef): boolean {
          return (ref & 1) === 0;
        }
      })(host),
  },

  "gives what it can when the host's memory is exhausted, and goes on afterwards": {
    says: /once memory is back/,
    make: (host) =>
      new (class extends PlainProvider {
        private hasGivenUp = false;
        override allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
          const got = this.hasGivenUp ? 0 : super.allocNetmems(pool, out, max);
          this.hasGivenUp ||= got === 0;
          return got;
        }
      })(host),
  },

  "maps every buffer for the device": {
    says: /where the device writes/,
    make: (host) =>
      new (class extends PlainProvider {
        override allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
          const got = super.allocNetmems(pool, out, max);
          const at = (k: number): number => host.dmaAt + ((out[k]! >>> 1) & 0xfffff);
          for (let k = 0; k + 1 < got; k += 2) {
            const other = host.i32[at(k)]!;
            host.i32[at(k)] = host.i32[at(k + 1)]!;
            host.i32[at(k + 1)] = other;
          }
          return got;
        }
      })(host),
  },

  "accepts pools and lets them go, with everything back": {
    says: /what provider and host hold after the last pool/,
    make: (host) =>
      new (class extends PlainProvider {
        private spare: NetmemRef | 0 = 0;
        override init(pool: PoolHandle): void {
          super.init(pool);
          this.spare = host.pages.allocPages(0);
        }
        override allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
          if (this.spare !== 0) host.pages.freePage(this.spare as never);
          this.spare = 0;
          return super.allocNetmems(pool, out, max);
        }
      })(host),
  },

  "refuses what it cannot serve with a coded error, and takes nothing": {
    says: /error code: expected/,
    make: (host) =>
      new (class extends PlainProvider {
        override init(pool: PoolHandle): void {
          if (pool.order !== 0) throw new Error("no code");
          super.init(pool);
        }
      })(host),
  },

  "keeps a destroyed pool until its last buffer is home, and serves others": {
    says: /what provider and host hold after the last pool/,
    make: (host) =>
      new (class extends FakeNiovProvider {
        private newest: PoolHandle | null = null;
        override init(pool: PoolHandle): void {
          super.init(pool);
          this.newest = pool;
        }
        override releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
          return pool === this.newest ? super.releaseNetmem(pool, ref) : false;
        }
      })({ host, count: 200 }),
  },

  "leaves pages alone that somebody still holds": {
    says: /is not free|is out already|other holders/,
    make: (host) =>
      new (class extends StashProvider {
        override releaseNetmem(_pool: PoolHandle, ref: NetmemRef): boolean {
          this.stash.push(ref);
          return false;
        }
      })(host, 300),
  },

  "takes pages back once nobody else holds them": {
    says: /expected 300, got 0/,
    make: (host) =>
      new (class extends StashProvider {
        override allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
          const { held } = this;
          this.held = [];
          const got = super.allocNetmems(pool, out, max);
          this.held = held;
          return got;
        }
      })(host, 300),
  },

  "forgets its queue and still takes buffers home": {
    says: /busy/,
    make: (host) =>
      new (class extends PlainProvider {
        uninstall(): void {
          if (this.mine.size > 0) throw new Error("busy");
        }
      })(host),
  },

  "describes itself in strings and numbers": {
    says: /attribute "mapped"/,
    make: (host) =>
      new (class extends PlainProvider {
        fillInfo(info: InfoSink): void {
          info.set("mapped", { pages: this.mapped } as never);
        }
      })(host),
  },

  "gives every buffer bytes of its own": {
    says: /somebody else wrote/,
    make: (host) => overlapping(host),
  },

  "survives random traffic over pools that come and go": {
    says: /what provider and host hold after the last pool/,
    make: (host) =>
      new (class extends FakeNiovProvider {
        private releases = 0;
        override releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
          return ++this.releases === 2000 ? false : super.releaseNetmem(pool, ref);
        }
      })({ host, count: 200 }),
  },

  "serves fragments": {
    says: /is not the live reference/,
    make: (host) =>
      new (class extends FakeNiovProvider {
        override allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
          const at = host.ppRefAt + this.area.firstIdx;
          host.i32.fill(0, at, at + this.area.count);
          return super.allocNetmems(pool, out, max);
        }
      })({ host, count: 200, batch: 1 }),
  },
};

/** Breaches of single rules of the contract, which one case or another must report. */
export const breaches: readonly Mistake[] = [
  {
    says: /wrote behind out\[64\]/,
    make: (host) =>
      new (class extends PlainProvider {
        override allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
          out[max] = 1;
          return super.allocNetmems(pool, out, max);
        }
      })(host),
  },
  {
    says: /has no DMA address/,
    make: (host) =>
      new (class extends PlainProvider {
        override allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
          const got = super.allocNetmems(pool, out, max);
          host.i32[host.dmaAt + ((out[0]! >>> 1) & 0xfffff)] = 0;
          return got;
        }
      })(host),
  },
  {
    says: /is of order 3, the pool of 0/,
    make: (host) =>
      new (class extends StashProvider {
        override allocNetmems(pool: PoolHandle, out: Int32Array, max: number): number {
          const got = super.allocNetmems(pool, out, max);
          if (got > 0) host.i32[host.infoAt + ((out[0]! >>> 1) & 0xfffff)] = 3;
          return got;
        }
      })(host, 100),
  },
  {
    says: /releaseNetmem returned undefined/,
    make: (host) =>
      new (class extends FakeNiovProvider {
        override releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
          super.releaseNetmem(pool, ref);
          return undefined as never;
        }
      })({ host, count: 200 }),
  },
  {
    says: /wants the net_iov .* freed as a page/,
    make: (host) =>
      new (class extends FakeNiovProvider {
        override releaseNetmem(pool: PoolHandle, ref: NetmemRef): boolean {
          super.releaseNetmem(pool, ref);
          return true;
        }
      })({ host, count: 200 }),
  },
  {
    says: /is given out and not owned/,
    make: (host) =>
      new (class extends PlainProvider {
        override owns(): boolean {
          return false;
        }
      })(host),
  },
  {
    says: /is memory that no CPU reads; isReadable is true/,
    make: (host) => Object.assign(new FakeNiovProvider({ host, count: 200 }), { isReadable: true }),
  },
];

/** Two areas over the same bytes. */
function overlapping(host: Host): FakeNiovProvider {
  const provider = new FakeNiovProvider({ host, count: 100, readable: true });
  const { baseOffset = 0, count, pageShift } = provider.area;
  const twin = host.areas.add({ name: "twin", count, pageShift, baseOffset });
  const owns = provider.owns.bind(provider);
  provider.free.push(...Array.from({ length: count }, (_, n) => host.areas.refAt(twin, n)));
  provider.owns = (ref) => owns(ref) || host.areas.of((ref >>> 1) & 0xfffff) === twin;
  return provider;
}
