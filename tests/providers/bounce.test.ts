import { createBounceDevice, withBalance } from "@netmem/dma";
import { providerSuite, type ProviderSubject } from "@netmem/page-pool/conformance";
import type { NetmemRef } from "@netmem/core";
import { createHugeProvider, createModelBacking } from "@netmem/hugepage";
import { createPagePool, PagePoolFlag } from "@netmem/page-pool";
import { runSuite } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { makeStand, MIB } from "./subjects.ts";

const bounce = {
  dma: (host: Parameters<typeof createBounceDevice>[0]) => withBalance(createBounceDevice(host, { skipCpuSync: true })),
};

describe("huge pages for a device that is not coherent", () => {
  const makeSubject = (): ProviderSubject => {
    const { host, clock } = makeStand({ arenaBytes: 16 * MIB, ...bounce });
    const backing = createModelBacking(host);
    return {
      host,
      provider: createHugeProvider(host, { backing, chunks: 2, fallback: false }),
      capacity: 1024,
      mapsBuffers: true,
      refused: [{ params: { order: 1 }, code: "ERR_NETMEM_INVALID_PARAM" }],
      passTime: (ms) => clock.advance(ms),
      holdings: () => ({ "huge pages": backing.backedCount }),
    };
  };
  runSuite(providerSuite, makeSubject, test);

  test("#118 each page is synced by itself, inside the mapping of its chunk", () => {
    const { host } = makeStand({ arenaBytes: 16 * MIB, ...bounce });
    const provider = createHugeProvider(host, { backing: createModelBacking(host), chunks: 1 });
    host.providers.register(provider);
    const pool = createPagePool(host, {
      flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev | PagePoolFlag.AllowUnreadableNetmem,
      maxLenBytes: 4096,
      rxq: { ifindex: 1, queueIdx: 0, provider },
    });
    const refs = new Int32Array(100);
    pool.allocBulk(refs, 100);
    const ref = refs[57]! as NetmemRef;
    const at = host.offsetOf(ref as never);
    const device = Int32Array.of(pool.getDmaAddr(ref));
    host.dma!.translateMany(device, 1);
    host.u8.fill(7, device[0], device[0]! + 4096);
    host.u8.fill(1, at, at + 4096);
    pool.dmaSyncForCpu(ref, 100, 200);
    expect([host.u8[at + 99], host.u8[at + 100], host.u8[at + 299], host.u8[at + 300]]).toEqual([1, 7, 7, 1]);
    expect(() => host.dma!.syncForCpu(pool.getDmaAddr(ref), 0, 2 * MIB, pool.getDmaDir())).toThrow(/SYNC_RANGE/);
  });
});
