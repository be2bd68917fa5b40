import {
  failParam,
  type Host,
  IDX_MASK,
  INFO_AREA_MASK,
  INFO_AREA_SHIFT,
  NetmemError,
  type NetmemRef,
  type PacketView,
  type RxqProviderDevice,
} from "@netmem/core";
import { DevmemBinding } from "./devmem-binding.ts";
import { DevmemProvider } from "./devmem-provider.ts";
import type { DeviceMemory } from "./device-memory.ts";
import type { MemoryPorts } from "./memory-ports.ts";
import type { DeviceRegion } from "./gen-pool.ts";
import type { LandingZone } from "./landing-zone.ts";
import { DevmemTxBinding } from "./tx-binding.ts";

const MAX_ID = 0x7fffffff;

export interface BindRxParams {
  /** What `ifindex` named; null when it named nothing. */
  readonly device: RxqProviderDevice | null;
  /** Receive queues, at least one. */
  readonly queues: readonly number[];
  readonly memory: DeviceMemory;
  /** Parts of the memory to use. Default: all of it. */
  readonly regions?: readonly DeviceRegion[];
  /**
   * Where the queues' DMA engine reaches memory, `nic.ports` for instance; a function where queues differ, null for one that
   * has no DMA. Absent: nothing writes by DMA address.
   */
  readonly ports?: MemoryPorts | ((queueIdx: number) => MemoryPorts | null);
}

export interface BindTxParams {
  /** The device that may send it; null when `ifindex` named nothing. */
  readonly device: { readonly ifindex: number } | null;
  readonly memory: DeviceMemory;
  readonly regions?: readonly DeviceRegion[];
}

/** A device that is about to send a packet. */
export interface TransmitDevice {
  readonly ifindex: number;
  /** It takes fragments that the CPU cannot read (kernel: `netdev->netmem_tx`). */
  readonly netmemTx?: boolean;
}

/** What a session binds it unbinds when it closes (kernel: a netlink socket). */
export interface DevmemSession {
  bindRx(params: BindRxParams): DevmemBinding;
  bindTx(params: BindTxParams): DevmemTxBinding;
  /** Unbinds all that is still bound. A second time does nothing. */
  close(): void;
}

/** The device-memory bindings of a host. One per host, on the thread that its queues run on. */
export class Devmem {
  readonly host: Host;
  private readonly bindings = new Map<number, DevmemBinding | DevmemTxBinding>();
  /** @internal Landing zones of receive bindings that are not freed. */
  readonly zones: LandingZone[] = [];
  private readonly rxByArea: (DevmemBinding | null)[];
  private readonly txByArea: (DevmemTxBinding | null)[];
  private readonly providers: DevmemProvider[] = [];
  private readonly landed = new Set<() => void>();
  private nextId = 1;
  private nextSocket = 1;

  /** @internal Use {@link createDevmem}. */
  constructor(host: Host) {
    this.host = host;
    this.rxByArea = Array.from({ length: INFO_AREA_MASK + 1 }, () => null);
    this.txByArea = Array.from({ length: INFO_AREA_MASK + 1 }, () => null);
  }

  /**
   * Binds device memory to receive queues: they restart, and their pools with `AllowUnreadableNetmem` take its pages.
   *
   * @throws `ERR_NETMEM_NO_DEVICE` (ENODEV), `ERR_NETMEM_DEVMEM_QUEUES` (EINVAL) without queues or for one that is not
   * there, `ERR_NETMEM_DEVMEM_REGION` (EINVAL) for what is not whole pages of the memory, `ERR_NETMEM_DEVMEM_DMA` (EOPNOTSUPP)
   * when the queues have no DMA engine in common, `ERR_NETMEM_TABLE_FULL` (ENOSPC), and what the device throws for a queue:
   * those before it are unbound again.
   */
  bindRx(params: BindRxParams): DevmemBinding {
    const device = params.device ?? failNoDevice();
    checkQueues(params.queues, device.queues.length);
    const ports = commonPorts(params);
    const regions = checkRegions(this.host, params.memory, params.regions);
    const provider = this.takeProvider();
    const { host, landed } = this;
    const parts = { host, id: this.takeId(), memory: params.memory, regions, ports, device, provider };
    const binding = this.made(provider, () => new DevmemBinding({ ...parts, onFreed: (gone) => this.forget(gone) }));
    this.bindings.set(binding.id, binding);
    for (const { area } of binding.pages.list()) this.rxByArea[area.areaId] = binding;
    this.zones.push(binding.landing);
    binding.landing.onLanded(() => landed.forEach((wake) => wake()));
    try {
      binding.openQueues(params.queues);
    } catch (error) {
      this.unbind(binding);
      throw error;
    }
    return binding;
  }

  /**
   * Binds device memory for transmission by one device.
   * @throws `ERR_NETMEM_NO_DEVICE` (ENODEV), `ERR_NETMEM_DEVMEM_REGION` (EINVAL), `ERR_NETMEM_TABLE_FULL` (ENOSPC)
   */
  bindTx(params: BindTxParams): DevmemTxBinding {
    const { ifindex } = params.device ?? failNoDevice();
    const regions = checkRegions(this.host, params.memory, params.regions);
    const forget = (gone: DevmemTxBinding): void => this.forget(gone);
    const binding = new DevmemTxBinding(this.host, this.takeId(), params.memory, ifindex, regions, forget);
    this.bindings.set(binding.id, binding);
    for (const { area } of binding.pages.list()) this.txByArea[area.areaId] = binding;
    return binding;
  }

  /**
   * Ends a binding for its user: its id is gone, its queues restart with ordinary pages. Buffers that are outside keep it
   * alive, see `freed()`. A second time does nothing.
   */
  unbind(binding: DevmemBinding | DevmemTxBinding): void {
    this.forgetId(binding.id, binding);
    binding.unbind();
  }

  /** Bindings of a session of its own. */
  openSession(): DevmemSession {
    const mine: (DevmemBinding | DevmemTxBinding)[] = [];
    const keep = <Binding extends DevmemBinding | DevmemTxBinding>(binding: Binding): Binding => {
      mine.push(binding);
      return binding;
    };
    return {
      bindRx: (params) => keep(this.bindRx(params)),
      bindTx: (params) => keep(this.bindTx(params)),
      close: () => mine.splice(0).forEach((binding) => this.unbind(binding)),
    };
  }

  /**
   * The binding to send from on device `ifindex` (kernel: `net_devmem_get_binding`).
   * @throws `ERR_NETMEM_UNBOUND` (EINVAL) for an id that no TX binding has, `ERR_NETMEM_OTHER_DEVICE` (ENODEV).
   */
  txBinding(id: number, ifindex: number): DevmemTxBinding {
    const binding = this.bindings.get(id);
    if (!(binding instanceof DevmemTxBinding)) return failNoTx(id);
    if (binding.ifindex !== ifindex) failOtherDevice(binding.ifindex, ifindex);
    return binding;
  }

  /** The receive binding that a buffer is memory of, null for anything else. */
  bindingOf(ref: NetmemRef): DevmemBinding | null {
    return (ref & 1) === 0 ? null : this.rxByArea[this.areaOf(ref)]!;
  }

  /**
   * Whether `device` may send `packet`: a readable one always, one with device memory only where the device takes such
   * fragments and the memory is bound to it. Otherwise it is to be dropped (kernel: `validate_xmit_unreadable_skb`).
   */
  mayTransmit(device: TransmitDevice, view: PacketView, packet: number): boolean {
    if (!view.of(packet).unreadable) return true;
    if (device.netmemTx !== true) return false;
    for (let segment = packet; segment !== 0;) {
      view.of(segment);
      for (let n = 0; n < view.nrFrags; n++) {
        const ref = view.fragRef(n) as NetmemRef;
        if (this.host.isReadable(ref)) continue;
        if (this.txByArea[this.areaOf(ref)]?.ifindex !== device.ifindex) return false;
      }
      segment = segment === packet ? view.fragList : view.next;
    }
    return true;
  }

  /** Live bindings by id, those of closed users not included. */
  list(): readonly (DevmemBinding | DevmemTxBinding)[] {
    return [...this.bindings.values()];
  }

  /** Calls `wake` whenever bytes have landed in some binding, until the returned function is called. */
  onLanded(wake: () => void): () => void {
    this.landed.add(wake);
    return () => this.landed.delete(wake);
  }

  /** @internal Number of the next socket, >= 1. */
  takeSocketNumber(): number {
    return this.nextSocket++;
  }

  private made(provider: DevmemProvider, make: () => DevmemBinding): DevmemBinding {
    try {
      return make();
    } catch (error) {
      this.providers.push(provider);
      throw error;
    }
  }

  private takeProvider(): DevmemProvider {
    const spare = this.providers.pop();
    if (spare !== undefined) return spare;
    const provider = new DevmemProvider();
    this.host.providers.register(provider);
    return provider;
  }

  private takeId(): number {
    while (this.bindings.has(this.nextId)) this.nextId = this.nextId === MAX_ID ? 1 : this.nextId + 1;
    const id = this.nextId;
    this.nextId = id === MAX_ID ? 1 : id + 1;
    return id;
  }

  private areaOf(ref: NetmemRef): number {
    const { host } = this;
    return (host.i32[host.infoAt + ((ref >>> 1) & IDX_MASK)]! >>> INFO_AREA_SHIFT) & INFO_AREA_MASK;
  }

  private forgetId(id: number, binding: DevmemBinding | DevmemTxBinding): void {
    if (this.bindings.get(id) === binding) this.bindings.delete(id);
  }

  private forget(gone: DevmemBinding | DevmemTxBinding): void {
    this.forgetId(gone.id, gone);
    for (let areaId = 0; areaId <= INFO_AREA_MASK; areaId++) {
      if (this.rxByArea[areaId] === gone) this.rxByArea[areaId] = null;
      if (this.txByArea[areaId] === gone) this.txByArea[areaId] = null;
    }
    if (!(gone instanceof DevmemBinding)) return;
    this.zones.splice(this.zones.indexOf(gone.landing), 1);
    this.providers.push(gone.provider);
  }
}

/** The device-memory bindings of `host`. Make one per host. */
export function createDevmem(host: Host): Devmem {
  return new Devmem(host);
}

function checkQueues(queues: readonly number[], count: number): void {
  const bad = queues.find((queueIdx) => !Number.isInteger(queueIdx) || queueIdx < 0 || queueIdx >= count);
  if (queues.length > 0 && bad === undefined && new Set(queues).size === queues.length) return;
  throw new NetmemError({
    code: "ERR_NETMEM_DEVMEM_QUEUES",
    errno: "EINVAL",
    reason: `queues [${queues.join(", ")}] are not one or more different receive queues of 0 to ${count - 1}`,
    remedy: "Name each queue once.",
    param: "queues",
    value: bad ?? queues.length,
  });
}

/** What is bound: whole pages of the memory, each once. */
function checkRegions(host: Host, memory: DeviceMemory, wanted?: readonly DeviceRegion[]): readonly DeviceRegion[] {
  const { pageSizeBytes } = host;
  const regions = wanted ?? [{ offset: 0, bytes: memory.sizeBytes }];
  if (regions.length === 0) failParam("regions", 0, "at least one region", "Leave it out for all of the memory.");
  let end = 0;
  for (const { offset, bytes } of [...regions].toSorted((a, b) => a.offset - b.offset)) {
    const isWhole = offset % pageSizeBytes === 0 && bytes % pageSizeBytes === 0 && bytes > 0;
    if (!isWhole || offset < end || offset + bytes > memory.sizeBytes) failRegion(offset, bytes, pageSizeBytes);
    end = offset + bytes;
  }
  return regions;
}

function commonPorts({ ports, queues }: BindRxParams): MemoryPorts | null {
  if (typeof ports !== "function") return ports ?? null;
  const all = queues.map((queueIdx) => ports(queueIdx));
  const first = all[0] ?? failDma("a queue cannot do DMA");
  if (all.some((other) => other !== first)) failDma("the queues have different DMA engines");
  return first;
}

function failDma(reason: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DEVMEM_DMA",
    errno: "EOPNOTSUPP",
    reason,
    remedy: "Bind queues of one DMA engine together, and others separately.",
    param: "queues",
  });
}

function failRegion(offset: number, bytes: number, pageBytes: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_DEVMEM_REGION",
    errno: "EINVAL",
    reason: `the region of ${bytes} bytes at ${offset} is not made of whole pages of ${pageBytes} bytes, each bound once`,
    remedy: "Round offset and size to pages, and stay inside the memory.",
    param: "regions",
    value: `${offset}+${bytes}`,
  });
}

function failNoDevice(): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NO_DEVICE",
    errno: "ENODEV",
    reason: "there is no such device",
    remedy: "Name a device that is registered.",
    param: "device",
    value: null,
  });
}

function failNoTx(id: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_UNBOUND",
    errno: "EINVAL",
    reason: `${id} is no TX binding`,
    remedy: "Send from a live binding made by bindTx.",
    param: "id",
    value: id,
  });
}

function failOtherDevice(bound: number, wanted: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_OTHER_DEVICE",
    errno: "ENODEV",
    reason: `the memory is bound to device ${bound}, and the route leads to device ${wanted}`,
    remedy: "Bind it to the device that sends.",
    param: "ifindex",
    value: wanted,
  });
}
