import { NetmemError } from "./errors.ts";
import { MemType, type MemTypeRegistry } from "./mem-type.ts";

/** `REG_STATE_*` of a receive queue's info. */
export const RegState = { New: 0, Registered: 1, Unregistered: 2, Unused: 3 } as const;
export type RegState = (typeof RegState)[keyof typeof RegState];

/** Names a memory model (kernel: `xdp_mem_info`). Id 0: no allocator behind it. */
export interface MemInfo {
  type: number;
  id: number;
}

/** A receive queue as the registry sees it (kernel: `xdp_rxq_info`). Fill it by {@link MemRegistry.regRxqInfo}. */
export class XdpRxqInfo {
  ifindex = 0;
  queueIdx = 0;
  fragSizeBytes = 0;
  regState: RegState = RegState.New;
  readonly mem: MemInfo = { type: MemType.PageShared, id: 0 };
}

/** What stands behind a memory id. */
export interface MemAllocator {
  /** Takes a user reference on the allocator. It calls `disconnect` once, when its last buffer has come home. */
  useMem(memId: number, disconnect: () => void): void;
  /** Drops the user reference that {@link useMem} took. */
  destroy(): void;
}

interface MemEntry {
  readonly allocator: MemAllocator;
  /** False once unregistered: the id waits for the allocator's last buffer. */
  registered: boolean;
}

const MEM_ID_MIN = 1;
const MEM_ID_MAX = 0xfffd;

function fail(errno: string, code: string, reason: string, remedy: string, value: unknown): never {
  throw new NetmemError({ code, errno, reason, remedy, value });
}

/**
 * Memory ids of a host: which allocator a queue's buffers come from. The data path never consults it; each buffer names
 * its owner itself. Source: `net/core/xdp.c`.
 */
export class MemRegistry {
  private readonly types: MemTypeRegistry;
  private readonly entries = new Map<number, MemEntry>();
  private next = MEM_ID_MIN;

  constructor(types: MemTypeRegistry) {
    this.types = types;
  }

  /** `xdp_rxq_info_reg`. A queue that is still registered is unregistered first. */
  regRxqInfo(rxq: XdpRxqInfo, ifindex: number, queueIdx: number, fragSizeBytes: number): void {
    if (ifindex <= 0) {
      fail(
        "ENODEV",
        "ERR_NETMEM_NO_DEVICE",
        `ifindex ${ifindex} names no device`,
        "Pass the device's ifindex, >= 1.",
        ifindex,
      );
    }
    if (rxq.regState === RegState.Unused) {
      fail(
        "EINVAL",
        "ERR_NETMEM_RXQ_UNUSED",
        `queue ${queueIdx} is marked unused`,
        "Register queues that receive.",
        queueIdx,
      );
    }
    if (rxq.regState === RegState.Registered) this.unregRxqInfo(rxq);
    rxq.ifindex = ifindex;
    rxq.queueIdx = queueIdx;
    rxq.fragSizeBytes = fragSizeBytes;
    rxq.mem.type = MemType.PageShared;
    rxq.mem.id = 0;
    rxq.regState = RegState.Registered;
  }

  /** `xdp_rxq_info_unreg`. Silent for an unused queue. */
  unregRxqInfo(rxq: XdpRxqInfo): void {
    if (rxq.regState === RegState.Unused) return;
    this.unregMemModel(rxq);
    rxq.regState = RegState.Unregistered;
    rxq.ifindex = 0;
  }

  /**
   * `xdp_rxq_info_reg_mem_model`: says which memory the queue receives into. The type is stored before the allocator is
   * checked, as in the kernel.
   *
   * @throws `ERR_NETMEM_RXQ_STATE` (EFAULT) unless registered, `ERR_NETMEM_TYPE_UNSUPPORTED` (EOPNOTSUPP) for a type
   * without a model, `ERR_NETMEM_MEM_MODEL_SET` (EBUSY) when the queue has an allocator (the kernel would lose it),
   * `ERR_NETMEM_ALLOCATOR_MISSING` (EINVAL) for page_pool without one, `ERR_NETMEM_MEM_IDS_EXHAUSTED` (ENOSPC).
   */
  regMemModel(rxq: XdpRxqInfo, type: number, allocator: MemAllocator | null): void {
    if (rxq.regState !== RegState.Registered) {
      fail("EFAULT", "ERR_NETMEM_RXQ_STATE", "the queue is not registered", "Call regRxqInfo first.", rxq.regState);
    }
    if (!this.types.isSupported(type)) {
      const name = this.types.nameOf(type);
      fail(
        "EOPNOTSUPP",
        "ERR_NETMEM_TYPE_UNSUPPORTED",
        `memory type ${name} has no model here`,
        "Install the type's package on this host.",
        type,
      );
    }
    if (rxq.mem.id !== 0) {
      fail(
        "EBUSY",
        "ERR_NETMEM_MEM_MODEL_SET",
        "the queue has an allocator already",
        "Call unregMemModel first.",
        rxq.mem.id,
      );
    }
    rxq.mem.type = type;
    if (allocator !== null) {
      rxq.mem.id = this.register(allocator);
      return;
    }
    if (type === MemType.PagePool) {
      fail(
        "EINVAL",
        "ERR_NETMEM_ALLOCATOR_MISSING",
        "page_pool memory needs its pool",
        "Pass the pool as the allocator.",
        type,
      );
    }
  }

  /** `xdp_rxq_info_unreg_mem_model`. The id stays taken until the allocator's last buffer is home. */
  unregMemModel(rxq: XdpRxqInfo): void {
    if (rxq.regState !== RegState.Registered) {
      fail("EINVAL", "ERR_NETMEM_RXQ_STATE", "the queue is not registered", "Unregister a queue once.", rxq.regState);
    }
    const { id } = rxq.mem;
    rxq.mem.type = MemType.PageShared;
    rxq.mem.id = 0;
    if (this.entries.get(id)?.registered === true) this.unregister(id);
  }

  /** Registers an allocator without a queue (`xdp_reg_mem_model`); returns its memory id. */
  register(allocator: MemAllocator): number {
    const entry: MemEntry = { allocator, registered: true };
    const id = this.takeId(entry);
    const forget = (): void => {
      if (this.entries.get(id) === entry) this.entries.delete(id);
    };
    try {
      allocator.useMem(id, forget);
    } catch (cause) {
      forget();
      throw cause;
    }
    return id;
  }

  /**
   * Drops the registration made by {@link register}, once.
   * @throws `ERR_NETMEM_MEM_ID_UNKNOWN` (ENOENT) for an id that is not registered: the reference would be another's.
   */
  unregister(id: number): void {
    const entry = this.entries.get(id);
    if (entry === undefined || !entry.registered) {
      fail("ENOENT", "ERR_NETMEM_MEM_ID_UNKNOWN", `memory id ${id} is not registered`, "Unregister an id once.", id);
    }
    entry.registered = false;
    entry.allocator.destroy();
  }

  /** The allocator of an id, also while the id only waits for its last buffer. */
  lookup(id: number): MemAllocator | null {
    return this.entries.get(id)?.allocator ?? null;
  }

  private takeId(entry: MemEntry): number {
    for (let tries = MEM_ID_MIN; tries <= MEM_ID_MAX; tries++) {
      const id = this.next;
      this.next = id === MEM_ID_MAX ? MEM_ID_MIN : id + 1;
      if (this.entries.has(id)) continue;
      this.entries.set(id, entry);
      return id;
    }
    return fail(
      "ENOSPC",
      "ERR_NETMEM_MEM_IDS_EXHAUSTED",
      `all ${MEM_ID_MAX} memory ids are in use`,
      "Drain pools that were unregistered.",
      MEM_ID_MAX,
    );
  }
}
