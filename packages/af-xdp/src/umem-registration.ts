import type { ArenaMap, ArenaPin, System } from "@netmem/linux";
import { Errno, SOL_XDP, SystemCallError } from "@netmem/linux";
import type { Umem } from "@netmem/xsk";
import { failMemlock } from "./errors.ts";
import { UMEM_REG_BYTES, XdpOption } from "./socket-options.ts";

/**
 * Which sockets of a port have the UMEM in the kernel. The first registers it, which locks its memory; later ones share
 * it, and with it the modes of the first. When none is left, the next one registers anew. Control path.
 */
export class UmemRegistration {
  private readonly system: System;
  private readonly map: ArenaMap;
  private readonly umem: Umem;
  /** Sockets that are bound: the kernel shares only what one of these has. */
  private readonly bound = new Set<number>();
  /** Sockets that were closed, and whose queue may still have the memory. */
  private closingCount = 0;
  private pin: ArenaPin | null = null;

  constructor(system: System, map: ArenaMap, umem: Umem) {
    this.system = system;
    this.map = map;
    this.umem = umem;
  }

  /** Queues that were closed and not yet seen released. */
  get pendingCount(): number {
    return this.closingCount;
  }

  /**
   * Gives the UMEM to socket `fd`. Returns the socket that it must share it with at bind, -1 when it registered it.
   * @throws `ERR_NETMEM_XDP_MEMLOCK` (ENOBUFS), `SystemCallError`
   */
  join(fd: number): number {
    const [other] = this.bound;
    if (other !== undefined) return other;
    this.pin ??= this.map.pin("the UMEM of AF_XDP sockets", this.umem.offset, this.umem.bytes);
    try {
      this.register(fd);
    } catch (error) {
      this.unpinIfIdle();
      throw error;
    }
    return -1;
  }

  /** The socket is bound. */
  addBound(fd: number): void {
    this.bound.add(fd);
  }

  /** The socket is closed; its queue, if it had one, must be {@link settle}d. */
  remove(fd: number): void {
    if (this.bound.delete(fd)) this.closingCount++;
    else this.unpinIfIdle();
  }

  /** A closed socket's queue was seen released. */
  settle(): void {
    this.closingCount--;
    this.unpinIfIdle();
  }

  private unpinIfIdle(): void {
    if (this.pin === null || this.bound.size > 0 || this.closingCount > 0) return;
    this.map.unpin(this.pin);
    this.pin = null;
  }

  private register(fd: number): void {
    const { system, umem, map } = this;
    const reg = new Uint8Array(UMEM_REG_BYTES);
    const view = new DataView(reg.buffer);
    view.setBigUint64(0, BigInt(map.addressAt(umem.offset)), true);
    view.setBigUint64(8, BigInt(umem.bytes), true);
    view.setUint32(16, umem.chunkSizeBytes, true);
    view.setUint32(20, umem.headroomBytes, true);
    view.setUint32(24, umem.flags, true);
    view.setUint32(28, umem.txMetadataBytes, true);
    const result = system.setsockopt(fd, SOL_XDP, XdpOption.UmemReg, reg);
    if (result >= 0) return;
    const error = new SystemCallError("setsockopt XDP_UMEM_REG", -result, {
      action: "register the arena's pages as UMEM",
    });
    if (result === -Errno.ENOBUFS) failMemlock(umem.bytes, system.getLimit("memlockBytes").soft, error);
    throw error;
  }
}
