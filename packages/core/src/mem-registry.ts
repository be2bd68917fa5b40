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
  // "declare": packets read these fields, see docs/decisions/0007.
  declare ifindex: number;
  declare queueIdx: number;
  /** Bytes that a fragment may grow to, its offset in them included; 0 = fragments do not grow. */
  declare fragSizeBytes: number;
  declare regState: RegState;
  declare readonly mem: MemInfo;
  /** The memory model is another's registration: see {@link MemRegistry.attachMemModel}. */
  declare isAttached: boolean;

  constructor() {
    this.ifindex = 0;
    this.queueIdx = 0;
    this.fragSizeBytes = 0;
    this.regState = RegState.New;
    this.mem = { type: MemType.PageShared, id: 0 };
    this.isAttached = false;
  }
}

/** What stands behind a memory id. */
export interface MemAllocator {
  /** Takes a user reference on the allocator. It calls `disconnect` once, when its last buffer has come home. */
  useMem(memId: number, disconnect: () => void): void;
  /** Drops the user reference that {@link useMem} took. */
  destroy(): void;
  /** Told the queue that it was registered for, if it wants to know (kernel: `xsk_pool_set_rxq_info`). */
  setRxqInfo?(rxq: XdpRxqInfo): void;
}

interface MemEntry {
  readonly allocator: MemAllocator;
  readonly type: number;
  /** False once unregistered: the id waits for the allocator's last buffer. */
  registered: boolean;
  /** Queues that use the registration without owning it. */
  attached: number;
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

  /** `xdp_rxq_info_unused`: the queue will not receive; registering it is a mistake from here on. */
  markUnused(rxq: XdpRxqInfo): void {
    rxq.regState = RegState.Unused;
  }

  /** `xdp_rxq_info_is_reg`. */
  isRegistered(rxq: XdpRxqInfo): boolean {
    return rxq.regState === RegState.Registered;
  }

  /** `xdp_rxq_info_unreg`. Silent for an unused queue. @throws as {@link unregMemModel}; nothing has changed then. */
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
    checkRegistered(rxq, "EFAULT");
    this.checkType(type);
    checkNoModel(rxq);
    rxq.mem.type = type;
    if (allocator === null) {
      if (type === MemType.PagePool) failNoAllocator(type);
      return;
    }
    const id = this.register(allocator, type);
    rxq.mem.id = id;
    allocator.setRxqInfo?.(rxq);
  }

  /**
   * `xdp_rxq_info_unreg_mem_model`. The id stays taken until the allocator's last buffer is home.
   * @throws `ERR_NETMEM_RXQ_STATE` (EINVAL) unless registered, `ERR_NETMEM_MEM_ID_ATTACHED` (EBUSY) while other queues are
   * attached to the registration: the queue keeps it then.
   */
  unregMemModel(rxq: XdpRxqInfo): void {
    checkRegistered(rxq, "EINVAL");
    if (rxq.isAttached) return this.detachMemModel(rxq);
    const { id } = rxq.mem;
    if (this.entries.get(id)?.registered === true) this.unregister(id);
    clearModel(rxq);
  }

  /**
   * Lets a queue use registration `id` of {@link register} without owning it: for drivers whose queues share an
   * allocator (`xdp_rxq_info_attach_page_pool`). Unregistering the queue detaches it; the registration lives on.
   *
   * @throws `ERR_NETMEM_RXQ_STATE` (EFAULT), `ERR_NETMEM_MEM_MODEL_SET` (EBUSY), `ERR_NETMEM_MEM_ID_UNKNOWN` (ENOENT).
   */
  attachMemModel(rxq: XdpRxqInfo, id: number): void {
    checkRegistered(rxq, "EFAULT");
    checkNoModel(rxq);
    const entry = this.registeredEntry(id);
    entry.attached++;
    rxq.mem.type = entry.type;
    rxq.mem.id = id;
    rxq.isAttached = true;
  }

  /** Undoes {@link attachMemModel} (`xdp_rxq_info_detach_mem_model`). Nothing happens to a queue that is not attached. */
  detachMemModel(rxq: XdpRxqInfo): void {
    if (!rxq.isAttached) return;
    const entry = this.entries.get(rxq.mem.id);
    if (entry !== undefined) entry.attached--;
    clearModel(rxq);
  }

  /**
   * Registers an allocator without a queue (`xdp_reg_mem_model`, `xdp_reg_page_pool`); returns its memory id.
   * @throws `ERR_NETMEM_TYPE_UNSUPPORTED` (EOPNOTSUPP), `ERR_NETMEM_MEM_IDS_EXHAUSTED` (ENOSPC), and what the allocator's
   * `useMem` throws: no id is taken then.
   */
  register(allocator: MemAllocator, type: number = MemType.PagePool): number {
    this.checkType(type);
    const entry: MemEntry = { allocator, type, registered: true, attached: 0 };
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
   * Drops the registration made by {@link register}, once (`xdp_unreg_mem_model`).
   * @throws `ERR_NETMEM_MEM_ID_UNKNOWN` (ENOENT) for an id that is not registered: the reference would be another's;
   * `ERR_NETMEM_MEM_ID_ATTACHED` (EBUSY) while queues are attached: they would name the id's next user.
   */
  unregister(id: number): void {
    const entry = this.registeredEntry(id);
    if (entry.attached > 0) {
      fail(
        "EBUSY",
        "ERR_NETMEM_MEM_ID_ATTACHED",
        `${entry.attached} queues are attached to memory id ${id}`,
        "Detach or unregister them first.",
        id,
      );
    }
    entry.registered = false;
    entry.allocator.destroy();
  }

  /** The allocator of an id, also while the id only waits for its last buffer. */
  lookup(id: number): MemAllocator | null {
    return this.entries.get(id)?.allocator ?? null;
  }

  private checkType(type: number): void {
    if (this.types.isSupported(type)) return;
    const reason = `memory type ${this.types.nameOf(type)} has no model here`;
    fail("EOPNOTSUPP", "ERR_NETMEM_TYPE_UNSUPPORTED", reason, "Install the type's package on this host.", type);
  }

  private registeredEntry(id: number): MemEntry {
    const entry = this.entries.get(id);
    if (entry?.registered === true) return entry;
    return fail("ENOENT", "ERR_NETMEM_MEM_ID_UNKNOWN", `memory id ${id} is not registered`, "Use an id once.", id);
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

function clearModel(rxq: XdpRxqInfo): void {
  rxq.mem.type = MemType.PageShared;
  rxq.mem.id = 0;
  rxq.isAttached = false;
}

function checkRegistered(rxq: XdpRxqInfo, errno: string): void {
  if (rxq.regState === RegState.Registered) return;
  fail(
    errno,
    "ERR_NETMEM_RXQ_STATE",
    "the queue is not registered",
    "Register it once, and undo that once.",
    rxq.regState,
  );
}

function checkNoModel(rxq: XdpRxqInfo): void {
  if (rxq.mem.id === 0) return;
  const reason = "the queue has an allocator already";
  fail("EBUSY", "ERR_NETMEM_MEM_MODEL_SET", reason, "Call unregMemModel first.", rxq.mem.id);
}

function failNoAllocator(type: number): never {
  const reason = "page_pool memory needs its pool";
  fail("EINVAL", "ERR_NETMEM_ALLOCATOR_MISSING", reason, "Pass the pool as the allocator.", type);
}
