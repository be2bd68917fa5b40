import {
  DmaDir,
  GEN_MASK,
  GEN_SHIFT,
  type Host,
  idxOf,
  type MemoryProviderOps,
  META_STATE_MASK,
  NetmemState,
  type NetmemRef,
  type PageRef,
} from "@netmem/core";
import { createDevmem, createHostMemory, type Devmem, type DevmemBinding } from "@netmem/devmem";
import { createPagePool, type PagePool, PagePoolFlag } from "@netmem/page-pool";
import { consumeSkb, type SkbRef, type SkbSlab, SkbView } from "@netmem/skb";
import { type Zcrx, ZcrxRegistry } from "@netmem/zcrx";

const AREA_ORDER = 7;
const DEVICE_BYTES = 256 * 4096;

/** An arena word, 0 outside. */
export function word(host: Host, at: number): number {
  return host.i32[at] ?? 0;
}

export function isLive(host: Host, ref: NetmemRef): boolean {
  const meta = word(host, idxOf(ref));
  return (meta & META_STATE_MASK) === NetmemState.Out << 9 && (meta & GEN_MASK) === ref >>> GEN_SHIFT;
}

/** A pool that takes its buffers from a provider, as a queue's would. */
export function createProviderPool(host: Host, name: string, provider: MemoryProviderOps): PagePool {
  if (!host.providers.has(provider)) host.providers.register(provider);
  return createPagePool(host, {
    name,
    poolSize: 32,
    flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev | PagePoolFlag.AllowUnreadableNetmem,
    maxLenBytes: 4096,
    dmaDir: DmaDir.FromDevice,
    rxq: { ifindex: 1, queueIdx: 0, provider },
  });
}

/** An application's own memory: readable net_iovs. */
export function createUserArea(host: Host, slab: SkbSlab): { readonly zcrx: Zcrx; readonly block: PageRef } {
  const block = host.pages.allocPages(AREA_ORDER);
  if (block === 0) throw new Error("no memory for the user area");
  const packets = { view: new SkbView(slab), consume: (skb: number) => consumeSkb(slab, skb as SkbRef) };
  const area = { offset: host.offsetOf(block), bytes: host.pageSizeBytes << AREA_ORDER };
  return { zcrx: new ZcrxRegistry(host).register({ area, refillEntries: 64, packets }), block };
}

/** Device memory bound to a queue that nobody runs: no byte of it is in the arena. */
export function bindDeviceMemory(host: Host): { readonly devmem: Devmem; readonly binding: DevmemBinding } {
  const devmem = createDevmem(host);
  const device = { ifindex: 1, queues: [0], openRxqProvider: () => {}, closeRxqProvider: () => {} };
  const memory = createHostMemory({ sizeBytes: DEVICE_BYTES });
  return { devmem, binding: devmem.bindRx({ device, queues: [0], memory }) };
}
