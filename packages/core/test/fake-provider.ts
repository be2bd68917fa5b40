import type { MemoryProviderOps } from "../src/index.ts";

/** A provider that has nothing. */
export function fakeProvider(name: string): MemoryProviderOps {
  return {
    name,
    opsVersion: 1,
    init: () => {},
    destroy: () => {},
    allocNetmems: () => 0,
    releaseNetmem: () => true,
    owns: () => false,
  };
}
