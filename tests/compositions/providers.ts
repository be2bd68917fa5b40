import {
  AllocationLog,
  createBudget,
  withBudget,
  withFallback,
  withFault,
  withLimit,
  withLog,
  withStats,
  withTrace,
} from "@netmem/adaptors";
import type { Host, MemoryProviderOps } from "@netmem/core";
import {
  createHugeProvider,
  createHugeSplitProvider,
  createModelBacking,
  type HugeProvider,
  type HugeSplitProvider,
} from "@netmem/hugepage";
import { FaultInjector, Prng } from "@netmem/testing";

/** Providers of readable pages, alone and behind adaptors, registered. */
export interface Providers {
  readonly list: readonly MemoryProviderOps[];
  /** What their own books say is out, by whose they are: 0 everywhere when all is home. */
  out(): Record<string, number>;
}

function faults(seed: number): FaultInjector {
  const injector = new FaultInjector(new Prng(seed));
  injector.failWithProbability("provider.init", 0.1);
  injector.failWithProbability("provider.alloc", 0.2);
  injector.limitBulk("provider.alloc", 40);
  return injector;
}

export function makeProviders(host: Host, seed: number): Providers {
  const backing = createModelBacking(host);
  const huges: HugeProvider[] = [];
  const splits: HugeSplitProvider[] = [];
  const huge = (name: string, chunks: number, fallback = true): MemoryProviderOps => {
    huges.push(createHugeProvider(host, { name, backing, chunks, fallback }));
    return huges.at(-1)!;
  };
  const split = (name: string, maxOrder: number): MemoryProviderOps => {
    splits.push(createHugeSplitProvider(host, { name, maxOrder, ...(maxOrder > 9 && { backing, minOrder: 9 }) }));
    return splits.at(-1)!;
  };
  const budget = createBudget({ pages: 700 });
  const limited = withLimit(split("traced", 5), 600);
  const counted = withStats(withTrace(limited, {}));
  const limitedFirst = withLimit(huge("first", 1, false), 100);
  const fallback = withFallback(limitedFirst, split("second", 4));
  const list = [
    huge("huge", 2),
    huge("huge of one", 1),
    split("hugeSplit", 6),
    split("hugeSplit on huge pages", 10),
    fallback,
    counted,
    withBudget(huge("budgeted", 1), budget.tenant({ name: "tenant", softPages: 400 })),
    withLog(split("logged", 7), new AllocationLog({ maxWords: 4096 })),
    withFault(huge("faulty", 1), faults(seed)),
  ];
  for (const provider of list) host.providers.register(provider);
  const out = (): Record<string, number> => ({
    "huge pages": backing.backedCount,
    "single pages of huge providers": huges.reduce((sum, one) => sum + one.stats().fallbackOut, 0),
    "leaked chunks": huges.reduce((sum, one) => sum + one.stats().leakedChunks, 0),
    "single pages of splitting providers": splits.reduce((sum, one) => sum + one.stats().singlePagesOut, 0),
    "leaked blocks": splits.reduce((sum, one) => sum + one.stats().leakedBlocks, 0),
    budget: budget.usedPages,
    limits: limited.out + limitedFirst.out,
    fallback: fallback.stats().fallbackOut,
    statistics: counted.stats().buffers.current,
  });
  return { list, out };
}
