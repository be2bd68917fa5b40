import { createHost, type DmaDevice, type Host, type NetmemRef } from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { VirtualClock } from "@netmem/testing";
import { expect } from "vitest";
import {
  type BindParams,
  createUmem,
  createXskBuffPool,
  AddrConsumer,
  AddrProducer,
  ADDR_BYTES,
  DESC_BYTES,
  DescProducer,
  type Umem,
  type UmemParams,
  type XskBuffPool,
  type XskDevice,
  type XskDeviceParams,
  XskKernel,
  type XskQueue,
  xskRingBytes,
  type XskRingLayout,
  xskRingLayout,
  XskRings,
  type XskRingsOptions,
  type XskSocket,
} from "../src/index.ts";

export function makeHost(dma?: (host: Host) => DmaDevice): Host {
  return createHost({
    arenaBytes: 16 * 2 ** 20,
    maxNetmems: 5 * 4096,
    clock: new VirtualClock(),
    pageAllocator: createPageAllocator,
    ...(dma && { dma }),
  });
}

/** Sixteen chunks of 4096 bytes, frames of its own. */
export function makeUmem(host: Host, params: UmemParams = {}): Umem {
  return createUmem(host, { ownBytes: 16 * 4096, ...params });
}

export function makeRing(host: Host, size: number, entryBytes: number, startIndex = 0): XskRingLayout {
  const layout = xskRingLayout(host.heap.allocWords(xskRingBytes(size, entryBytes) >>> 2), size);
  host.i32[layout.producerAt] = startIndex | 0;
  host.i32[layout.consumerAt] = startIndex | 0;
  return layout;
}

/** A kernel's pool and the user's end of its fill ring. */
export interface PoolRig {
  readonly host: Host;
  readonly umem: Umem;
  readonly pool: XskBuffPool;
  readonly fill: AddrProducer;
  /** Puts UMEM addresses into the fill ring. */
  readonly post: (...addrs: number[]) => void;
}

export function makePool(params: UmemParams = {}, dma?: DmaDevice, host: Host = makeHost()): PoolRig {
  const umem = makeUmem(host, params);
  const layout = makeRing(host, 16, ADDR_BYTES);
  const fill = new AddrProducer(host.i32, layout);
  const pool = createXskBuffPool(host, {
    name: "test pool",
    geometry: umem.geometry,
    fill: new AddrConsumer(host.i32, layout),
    dma: dma === undefined ? null : umem.mapDma(dma),
  });
  const post = (...addrs: number[]): void => {
    for (const addr of addrs) {
      expect(fill.room(1)).toBeGreaterThan(0);
      fill.put(addr | 0, Math.floor(addr / 2 ** 32) | 0);
    }
    fill.submit();
  };
  return { host, umem, pool, fill, post };
}

export interface SocketParams {
  readonly umem?: UmemParams;
  /** Entries of each ring. Default 16. */
  readonly ringSize?: number;
  readonly device?: Partial<XskDeviceParams>;
  readonly bind?: Partial<BindParams>;
  readonly rings?: XskRingsOptions;
}

/** One device, one socket with all four rings, and the user's end of them. */
export interface SocketRig {
  readonly host: Host;
  readonly kernel: XskKernel;
  readonly device: XskDevice;
  readonly umem: Umem;
  readonly socket: XskSocket;
  readonly queue: XskQueue;
  readonly rings: XskRings;
  /** Packets that copy mode sent. */
  readonly sent: Uint8Array[];
  /** Posts `count` frames. */
  readonly fill: (count: number) => NetmemRef[];
}

export const IFINDEX = 3;

export function setAllRings(socket: XskSocket, size: number): void {
  for (const kind of ["rx", "tx", "fill", "completion"] as const) socket.setRing(kind, size);
}

export function makeSocket(params: SocketParams = {}, host: Host = makeHost()): SocketRig {
  const kernel = new XskKernel(host);
  const sent: Uint8Array[] = [];
  const device = kernel.addDevice({
    ifindex: IFINDEX,
    queueCount: 2,
    transmit: (u8, at, len) => {
      sent.push(u8.slice(at, at + len));
      return 0;
    },
    ...params.device,
  });
  const umem = makeUmem(host, params.umem);
  const socket = kernel.createSocket();
  socket.registerUmem(umem);
  setAllRings(socket, params.ringSize ?? 16);
  socket.bind({ ifindex: IFINDEX, queueIdx: 0, ...params.bind });
  const rings = new XskRings(umem, socket.layouts, params.rings);
  const queue = socket.queue!;
  const fill = (count: number): NetmemRef[] => {
    const refs = takeFrames(umem, count);
    expect(rings.post(Int32Array.from(refs), refs.length)).toBe(count);
    return refs;
  };
  return { host, kernel, device, umem, socket, queue, rings, sent, fill };
}

export function takeFrames(umem: Umem, count: number): NetmemRef[] {
  const refs = new Int32Array(count);
  expect(umem.frames!.allocBulk(refs, count)).toBe(count);
  return [...refs] as NetmemRef[];
}

/** Raw TX descriptors, behind the back of the user's end. */
export class RawTx {
  readonly producer: DescProducer;

  constructor(host: Host, layout: XskRingLayout) {
    this.producer = new DescProducer(host.i32, layout);
  }

  /** `addr` may be any number up to 2^64; negative ones wrap as in C. */
  put(addr: number, len: number, options = 0): void {
    const high = Math.floor(addr / 2 ** 32);
    expect(this.producer.room(1)).toBeGreaterThan(0);
    this.producer.put(addr | 0, high | 0, len, options);
  }

  submit(): void {
    this.producer.submit();
  }
}

export { DESC_BYTES };

export function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    const { code, errno, param } = error as { code?: string; errno?: string; param?: string };
    return [code, errno, param].filter(Boolean).join(" ");
  }
  return "no error";
}

export function bytesOf(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, n) => (n * 7 + seed * 31) & 255);
}
