import { type DmaDir, type Host, makeRef } from "@netmem/core";
import { failMap } from "./huge-errors.ts";
import type { PageRun } from "./page-run.ts";

/**
 * Maps a run at once and gives each of its units its part of the address. Nothing to do on a host without a DMA device.
 * @throws `ERR_NETMEM_DMA_MAP` (ENOMEM)
 */
export function mapRun(host: Host, run: PageRun, dir: DmaDir): void {
  if (host.dma === null) return;
  run.pfn = host.dma.map(makeRef(run.firstIdx, 0, 0), run.order, dir);
  if (run.pfn === 0) failMap(run.order);
  for (let unit = 0; unit < run.unitCount; unit++) {
    const idx = run.pageOf(unit);
    host.i32[host.dmaAt + idx] = run.pfn + idx - run.firstIdx;
  }
}

/** Takes the run's mapping down. */
export function unmapRun(host: Host, run: PageRun, dir: DmaDir): void {
  if (run.pfn === 0) return;
  const { pfn } = run;
  run.pfn = 0;
  host.i32.fill(0, host.dmaAt + run.firstIdx, host.dmaAt + run.firstIdx + 2 ** run.order);
  endMapping(host, pfn, run.order, dir);
}

/** Ends a mapping of the host's device; when that throws, with a warning and no more: the memory goes its way. */
export function endMapping(host: Host, pfn: number, order: number, dir: DmaDir): void {
  try {
    host.dma?.unmap(pfn, order, dir);
  } catch (error) {
    host.warn("WARN_NETMEM_DMA_UNMAP", `page frame ${pfn}: ${String(error)}`);
  }
}

/** Says which memory a provider leaves behind, and why. */
export function warnLeak(host: Host, provider: string, runs: readonly PageRun[]): void {
  for (const run of runs) {
    host.warn(
      "WARN_NETMEM_HUGE_LEAK",
      `provider ${provider}: ${run.heldCount} pages of the ${run.unitCount} from page ${run.firstIdx} on are held by somebody; the memory stays behind`,
    );
  }
}
