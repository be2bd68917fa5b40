import {
  checkInt,
  DmaDir,
  failParam,
  type Host,
  makeRef,
  NetmemError,
  type PacketSource,
  type RxqProviderDevice,
} from "@netmem/core";
import { createSpscRing, freeSpscRing } from "@netmem/ring";
import { ENTRY_WORDS } from "./entries.ts";
import { Zcrx } from "./zcrx.ts";
import { ZcrxArea } from "./zcrx-area.ts";
import { ZcrxProvider } from "./zcrx-provider.ts";

const MAX_ENTRIES = 32768;
/** Of the pool that feeds the queue. */
const MAX_ORDER = 10;

export interface ZcrxParams {
  /** The queue that receives into the area. Absent: nothing is bound, packets are copied in. */
  readonly device?: RxqProviderDevice;
  readonly queueIdx?: number;
  /** Window of the arena, whole pages that nobody else uses for as long as the area lives: the application's memory. */
  readonly area: { readonly offset: number; readonly bytes: number };
  /** Bytes per buffer: a power of two, at least a page. Default: a page. */
  readonly bufferBytes?: number;
  /** Entries of the refill ring, 1 to 32768, rounded up to a power of two. */
  readonly refillEntries: number;
  /** Take the largest refill ring instead of refusing a larger one. Default false. */
  readonly clamp?: boolean;
  /** Entries of the completion ring: a power of two up to 32768. Default 4096. */
  readonly completionEntries?: number;
  /** How packets are read and consumed: `{ view: new SkbView(slab), consume: (skb) => consumeSkb(slab, skb) }`. */
  readonly packets: PacketSource;
  /** Called when an allocation finds nothing, once until `armEvent`. */
  readonly onAllocFail?: () => void;
}

/** The zero-copy receive areas of a host; providers are kept for the next registration. */
export class ZcrxRegistry {
  private readonly host: Host;
  private readonly spare: ZcrxProvider[] = [];
  private nextId = 1;

  constructor(host: Host) {
    this.host = host;
  }

  /**
   * Registers an area and binds its queue (kernel: `IORING_REGISTER_ZCRX_IFQ`).
   *
   * @throws `ERR_NETMEM_ZCRX_ENTRIES` (EINVAL), `ERR_NETMEM_ZCRX_BUFFERS` (EINVAL; ERANGE for buffers larger than the area),
   * `ERR_NETMEM_ZCRX_AREA` (EINVAL) for what is not whole pages of the arena, `ERR_NETMEM_TABLE_FULL` (ENOSPC),
   * `ERR_NETMEM_NO_MEMORY` (ENOMEM), `ERR_NETMEM_DMA_MAP` (ENOMEM), `ERR_NETMEM_PROVIDERS_EXHAUSTED` (ENOSPC), and what the
   * device throws. Nothing is held then.
   */
  register(params: ZcrxParams): Zcrx {
    const { host } = this;
    const refillEntries = checkEntries(params.refillEntries, params.clamp ?? false);
    const completionEntries = checkInt("completionEntries", params.completionEntries ?? 4096, 1, MAX_ENTRIES);
    if ((completionEntries & (completionEntries - 1)) !== 0) {
      failParam("completionEntries", completionEntries, "a power of two", "Round it up.");
    }
    const bufferBytes = checkBuffers(host, params);
    const undo: (() => void)[] = [];
    try {
      const zcrx = this.make(params, bufferBytes, refillEntries, completionEntries, undo);
      undo.push(() => zcrx.unregister());
      if (params.device !== undefined) zcrx.bind(params.device, params.queueIdx ?? 0);
      return zcrx;
    } catch (error) {
      undo.at(-1)?.();
      throw error;
    }
  }

  private make(
    params: ZcrxParams,
    bufferBytes: number,
    refillEntries: number,
    completionEntries: number,
    undo: (() => void)[],
  ): Zcrx {
    const { host } = this;
    const shift = 31 - Math.clz32(bufferBytes);
    const provider = this.takeProvider();
    const cleanUp: (() => void)[] = [() => this.spare.push(provider)];
    undo.push(() => cleanUp.toReversed().forEach((step) => step()));
    const ring = (entries: number): number => {
      const at = createSpscRing(host, entries * ENTRY_WORDS);
      cleanUp.push(() => freeSpscRing(host, at));
      return at;
    };
    const refillAt = ring(refillEntries);
    const completionAt = ring(completionEntries);
    const id = this.nextId++;
    const area = new ZcrxArea(host, `zcrx ${id}`, params.area.offset, params.area.bytes / bufferBytes, shift);
    const withArea = [...cleanUp];
    cleanUp.push(() => area.dispose());
    withArea.push(mapArea(host, area));
    const onFreed = (): void => withArea.toReversed().forEach((step) => step());
    const { packets, onAllocFail = null } = params;
    return new Zcrx({ host, id, area, provider, packets, completionAt, refillAt, onAllocFail, onFreed });
  }

  private takeProvider(): ZcrxProvider {
    const spare = this.spare.pop();
    if (spare !== undefined) return spare;
    const provider = new ZcrxProvider();
    this.host.providers.register(provider);
    return provider;
  }
}

/** Gives every buffer an address for the host's DMA device; returns what takes it away. */
function mapArea(host: Host, area: ZcrxArea): () => void {
  const { i32, dmaAt, dma, pageShift } = host;
  const order = area.shift - pageShift;
  const addressAt = dmaAt + area.area.firstIdx;
  const unmap = (count: number): void => {
    for (let n = 0; n < count; n++) dma?.unmap(i32[addressAt + n]!, order, DmaDir.FromDevice);
    i32.fill(0, addressAt, addressAt + area.count);
  };
  for (let n = 0; n < area.count; n++) {
    const page = (area.offset >>> pageShift) + (n << order);
    const pfn = dma === null ? page : dma.map(makeRef(page, 0, 0), order, DmaDir.FromDevice);
    if (pfn === 0) {
      unmap(n);
      failMap(n);
    }
    i32[addressAt + n] = pfn;
  }
  return () => unmap(area.count);
}

function checkEntries(entries: number, clamp: boolean): number {
  const wanted = clamp ? Math.min(entries, MAX_ENTRIES) : entries;
  if (Number.isInteger(wanted) && wanted >= 1 && wanted <= MAX_ENTRIES) return 2 ** Math.ceil(Math.log2(wanted));
  throw new NetmemError({
    code: "ERR_NETMEM_ZCRX_ENTRIES",
    errno: "EINVAL",
    reason: `a refill ring of ${entries} entries is not one of 1 to ${MAX_ENTRIES}`,
    remedy: "Ask for fewer, or set clamp.",
    param: "refillEntries",
    value: entries,
  });
}

function checkBuffers(host: Host, { area, bufferBytes = host.pageSizeBytes }: ZcrxParams): number {
  const { pageSizeBytes, layout } = host;
  const isPower = Number.isInteger(bufferBytes) && (bufferBytes & (bufferBytes - 1)) === 0;
  if (!isPower || bufferBytes < pageSizeBytes)
    failBuffers("EINVAL", bufferBytes, `a power of two from ${pageSizeBytes} on`);
  if (bufferBytes > area.bytes || bufferBytes > pageSizeBytes << MAX_ORDER) {
    failBuffers("ERANGE", bufferBytes, `what ${area.bytes} bytes in a row hold`);
  }
  const isAligned = area.offset % bufferBytes === 0 && area.bytes % bufferBytes === 0;
  const first = layout.firstPageIdx * pageSizeBytes;
  if (isAligned && area.offset >= first && area.offset + area.bytes <= layout.pageCount * pageSizeBytes)
    return bufferBytes;
  throw new NetmemError({
    code: "ERR_NETMEM_ZCRX_AREA",
    errno: "EINVAL",
    reason: `${area.bytes} bytes at ${area.offset} are not whole buffers of the arena's packet pages`,
    remedy: "Take the area from the page allocator: its blocks are aligned.",
    param: "area",
    value: area.offset,
  });
}

function failBuffers(errno: string, bufferBytes: number, expected: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_ZCRX_BUFFERS",
    errno,
    reason: `buffers of ${bufferBytes} bytes are not ${expected}`,
    remedy: "Choose smaller buffers, or a larger area.",
    param: "bufferBytes",
    value: bufferBytes,
  });
}

function failMap(n: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DMA_MAP",
    errno: "ENOMEM",
    reason: `the DMA device refused to map buffer ${n} of the area`,
    remedy: "Give the device more address space, or register a smaller area.",
    param: "area",
    value: n,
  });
}
