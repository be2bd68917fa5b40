import type { Host, MemoryProviderOps } from "@netmem/core";
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
import { providerSuite } from "@netmem/page-pool/conformance";
import { createHugeSplitProvider } from "@netmem/hugepage";
import { FaultInjector, runSuite } from "@netmem/testing";
import { describe, test } from "vitest";
import { kinds, makeSubject, type ProviderKind } from "./subjects.ts";

interface Wrapping {
  readonly name: string;
  readonly wrap: (upstream: MemoryProviderOps, host: Host) => MemoryProviderOps;
  /** What becomes of the capacity. Default: nothing. */
  readonly capacity?: (kind: ProviderKind) => number | null;
}

const limited = (limit: number) => (kind: ProviderKind) => Math.min(kind.capacity ?? Infinity, limit);

const wrappings: readonly Wrapping[] = [
  { name: "limit", wrap: (upstream) => withLimit(upstream, 200), capacity: limited(200) },
  { name: "stats", wrap: withStats },
  { name: "trace", wrap: (upstream) => withTrace(upstream, { alloc: () => {}, release: () => {} }) },
  { name: "fault, none injected", wrap: (upstream) => withFault(upstream, new FaultInjector()) },
  { name: "log", wrap: (upstream) => withLog(upstream, new AllocationLog()) },
  {
    name: "budget",
    wrap: (upstream) => withBudget(upstream, createBudget({ pages: 800 }).tenant({ name: "t", softPages: 10 })),
    capacity: (kind) => Math.min(kind.capacity ?? Infinity, 800 >> (kind.subject?.params?.order ?? 0)),
  },
  {
    name: "all of them",
    wrap: (upstream) =>
      withStats(withLog(withTrace(withLimit(withFault(upstream, new FaultInjector()), 150), {}), new AllocationLog())),
    capacity: limited(150),
  },
];

describe.for(kinds)("$name", (kind) => {
  runSuite(providerSuite, () => makeSubject(kind), test);
});

describe.for(
  kinds.flatMap((kind) =>
    wrappings.map((wrapping) => ({ kind, wrapping, name: `${wrapping.name} around ${kind.name}` })),
  ),
)("$name", ({ kind, wrapping }) => {
  const capacity = wrapping.capacity?.(kind) ?? kind.capacity;
  runSuite(providerSuite, () => makeSubject(kind, wrapping.wrap, capacity), test);
});

const singlePages = kinds.filter(({ subject }) => subject?.params === undefined);

describe.for(singlePages)("fallback behind $name", (kind) => {
  const wrap = (upstream: MemoryProviderOps, host: Host): MemoryProviderOps =>
    withFallback(
      withLimit(upstream, 100),
      withLimit(createHugeSplitProvider(host, { maxOrder: 4, name: "second" }), 90),
    );
  const capacity = Math.min(kind.capacity ?? Infinity, 100) + 90;
  runSuite(providerSuite, () => makeSubject(kind, wrap, capacity), test);
});
