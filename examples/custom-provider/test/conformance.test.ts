import { createHost, type Host } from "@netmem/core";
import { createIommuDevice, type IommuDevice, withBalance } from "@netmem/dma";
import { createPageAllocator } from "@netmem/mm";
import { providerSuite, type ProviderSubject } from "@netmem/page-pool/conformance";
import { runSuite, VirtualClock } from "@netmem/testing";
import { test } from "vitest";
import { WindowProvider } from "../window-provider.ts";

function makeSubject(): ProviderSubject {
  const clock = new VirtualClock();
  const iommus: IommuDevice[] = [];
  const dma = (host: Host) => {
    iommus.push(createIommuDevice(host));
    return withBalance(iommus[0]!);
  };
  const host = createHost({ arenaBytes: 8 * 2 ** 20, clock, pageAllocator: createPageAllocator, dma });
  return {
    host,
    provider: new WindowProvider(host, 7),
    capacity: 128,
    mapsBuffers: true,
    refused: [{ params: { order: 1 }, code: "ERR_NETMEM_INVALID_PARAM" }],
    passTime: (ms) => clock.advance(ms),
    holdings: () => ({ mappings: iommus[0]!.stats().mapped }),
  };
}

runSuite(providerSuite, makeSubject, test);
