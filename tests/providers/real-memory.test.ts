/** The provider suite over memory that the kernel made huge. */
import { createHugeProvider, createHugeSplitProvider } from "@netmem/hugepage";
import { createHugeBacking, openArenaMap, openSystem, probeLinux } from "@netmem/linux";
import { providerSuite, type ProviderSubject } from "@netmem/page-pool/conformance";
import { runSuite } from "@netmem/testing";
import { describe, test } from "vitest";
import { makeStand, MIB } from "./subjects.ts";

const kinds = [
  { name: "huge", chunks: 2, capacity: 1024 },
  { name: "huge split", chunks: 0, capacity: null },
] as const;

function whyNot(): string | null {
  const { systemCalls, thpBytes } = probeLinux();
  if (!systemCalls.available) return `system calls: ${systemCalls.reason}`;
  return thpBytes === 2 * MIB ? null : `thp: pages of ${thpBytes} bytes, not 2 MiB`;
}

describe.for(kinds)("$name over transparent huge pages", ({ chunks, capacity }) => {
  const makeSubject = (): ProviderSubject => {
    const { host, clock, iommu } = makeStand({ arenaBytes: 16 * MIB });
    const map = openArenaMap(openSystem(), host);
    const backing = createHugeBacking(map, { kind: "thp" });
    return {
      host,
      provider:
        chunks > 0
          ? createHugeProvider(host, { backing, chunks, fallback: false })
          : createHugeSplitProvider(host, { backing }),
      capacity,
      mapsBuffers: true,
      refused: [{ params: { order: 1 }, code: "ERR_NETMEM_INVALID_PARAM" }],
      passTime: (ms) => clock.advance(ms),
      holdings: () => ({ mappings: iommu.stats().mapped }),
    };
  };
  runSuite(providerSuite, makeSubject, (name, run) =>
    test(name, async (context) => {
      const reason = whyNot();
      if (reason !== null) context.skip(reason);
      await run();
    }),
  );
});
