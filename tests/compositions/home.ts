import type { NetmemWarning } from "@netmem/core";
import type { Changes } from "./changes.ts";
import { heapPages } from "./heap-pages.ts";
import type { World } from "./world.ts";

/** Longer than a destroyed pool waits between two looks. */
const LAST_LOOK_MS = 2000;
/** Rings by which buffers come home from another thread: made when needed, kept for the next thread with its number. */
const INBOX_PAGES = 2;

/** A queue that finds no memory to restart with runs on as it is, until it is restarted for another reason. */
function isExpected({ code, message }: NetmemWarning): boolean {
  return (
    code === "WARN_NETMEM_QUEUE_RECONFIG" &&
    /ERR_(EXAMPLE_NO_BUFFERS|NETMEM_(NO_MEMORY|DMA_MAP|DMA_REFUSED))/.test(message)
  );
}

/** Throws unless everything is where it was before the first packet. Ends the world. */
export function checkHome(world: World, changes: Changes): void {
  const { host, clock, slab, device, other, nic, otherNic, ledger, warnings, dma } = world;
  host.drainInbox();
  clock.advance(LAST_LOOK_MS);
  const areas = [changes.zcrx.collect(), changes.zcrxSplit.collect(), changes.devmem.collect()];
  device.unregister();
  other.unregister();
  const dmaFaults = nic.getStats().dmaFaults + otherNic.getStats().dmaFaults;
  const skbs = slab.liveCount;
  nic.dispose();
  otherNic.dispose();
  slab.dispose();
  const heap = heapPages(host);
  const left = {
    openPackets: ledger.openCount,
    skbs,
    pools: host.pools.list().map(({ name }) => name),
    areas: host.areas.list().map(({ name }) => name),
    areasKept: areas.filter((isHome) => !isHome).length,
    mappings: dma?.mapped ?? 0,
    dmaFaults,
    refusedReturns: host.returnCounts.refused,
    warnings: warnings.filter((warning) => !isExpected(warning)).map(({ code, message }) => `${code}: ${message}`),
    outOfProviders: Object.entries(changes.providers.out()).filter(([, count]) => count !== 0),
    controlPages: Math.max(heap.whole - world.controlPages - (changes.visitor === null ? 0 : INBOX_PAGES), 0),
    pages: host.pages.totalPageCount - host.pages.freePageCount() - heap.whole - heap.cut,
  };
  const isEmpty = Object.values(left).every((value) => (Array.isArray(value) ? value.length === 0 : value === 0));
  if (!isEmpty) throw new Error(`${world.dmaKind}, seed ${world.prng.seed}: left behind ${JSON.stringify(left)}`);
}
