import {
  createHost,
  type Host,
  type HostParams,
  type MemoryProviderOps,
  type NetmemWarning,
  type PacketView,
} from "@netmem/core";
import { createPageAllocator } from "@netmem/mm";
import { VirtualClock } from "@netmem/testing";
import { type DeviceMemory, createDevmem, createHostMemory, type Devmem } from "../src/index.ts";

export const PAGE = 4096;
export const MIB = 2 ** 20;

/** A device whose queues only remember their provider. */
export class FakeDevice {
  readonly ifindex = 7;
  readonly queues: { length: number };
  readonly providers: (MemoryProviderOps | null)[];
  /** `openRxqProvider` throws for this queue. */
  brokenQueue = -1;
  netmemTx = true;
  private readonly host: Host;

  constructor(host: Host, queueCount: number) {
    this.host = host;
    this.queues = { length: queueCount };
    this.providers = Array.from({ length: queueCount }, () => null);
  }

  openRxqProvider(queueIdx: number, provider: MemoryProviderOps): void {
    if (queueIdx === this.brokenQueue) throw new Error("the queue did not restart");
    if (!this.host.providers.has(provider)) throw new Error("not registered");
    this.providers[queueIdx] = provider;
  }

  closeRxqProvider(queueIdx: number, provider: MemoryProviderOps): void {
    if (this.providers[queueIdx] !== provider) throw new Error("not bound");
    this.providers[queueIdx] = null;
  }
}

export interface World {
  readonly host: Host;
  readonly clock: VirtualClock;
  readonly warnings: NetmemWarning[];
  readonly devmem: Devmem;
  readonly device: FakeDevice;
  readonly memory: DeviceMemory;
}

export function makeWorld(pages = 256, params: Partial<HostParams> = {}): World {
  const clock = new VirtualClock();
  const warnings: NetmemWarning[] = [];
  const host = createHost({
    arenaBytes: 8 * MIB,
    maxNetmems: 4096,
    clock,
    pageAllocator: createPageAllocator,
    onWarning: (warning) => warnings.push(warning),
    ...params,
  });
  const memory = createHostMemory({ sizeBytes: pages * PAGE });
  return { host, clock, warnings, devmem: createDevmem(host), device: new FakeDevice(host, 4), memory };
}

export interface TestFrag {
  readonly ref: number;
  readonly offset: number;
  readonly len: number;
}

export interface TestPacket {
  readonly data: number;
  readonly headLen: number;
  readonly frags: readonly TestFrag[];
  readonly unreadable: boolean;
  readonly list?: readonly number[];
}

/** Packets as objects, read as a socket reads skbs; consuming one returns its fragments. */
export class TestPackets {
  readonly view: PacketView;
  readonly live = new Map<number, TestPacket>();
  private nextId = 1;
  private readonly give: (ref: number) => void;

  constructor(give: (ref: number) => void) {
    this.give = give;
    this.view = this.makeView();
  }

  add(packet: TestPacket): number {
    const id = this.nextId++;
    this.live.set(id, packet);
    return id;
  }

  consume(id: number): void {
    const packet = this.get(id);
    this.live.delete(id);
    for (const { ref } of packet.frags) this.give(ref);
    for (const child of packet.list ?? []) this.consume(child);
  }

  get(id: number): TestPacket {
    const packet = this.live.get(id);
    if (packet === undefined) throw new Error(`packet ${id} is gone`);
    return packet;
  }

  private nextOf(id: number): number {
    for (const { list = [] } of this.live.values()) {
      const at = list.indexOf(id);
      if (at >= 0) return list[at + 1] ?? 0;
    }
    return 0;
  }

  private makeView(): PacketView {
    let id = 0;
    const now = (): TestPacket => this.get(id);
    const view = {
      of: (packet: number) => {
        id = packet;
        now();
        return view;
      },
      get headLen() {
        return now().headLen;
      },
      get data() {
        return now().data;
      },
      get unreadable() {
        return now().unreadable;
      },
      get nrFrags() {
        return now().frags.length;
      },
      get fragList() {
        return now().list?.[0] ?? 0;
      },
      next: 0,
      fragRef: (n: number) => now().frags[n]!.ref,
      fragOffset: (n: number) => now().frags[n]!.offset,
      fragLen: (n: number) => now().frags[n]!.len,
    };
    Object.defineProperty(view, "next", { get: () => this.nextOf(id) });
    return view;
  }
}
