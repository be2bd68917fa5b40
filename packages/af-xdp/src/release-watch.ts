import { isSystemCallError, type NetdevFamily } from "@netmem/linux";

/** Kernels that do not say which queues have a socket are given this long to let go of one. Measured: up to 20 ms. */
export const BLIND_WAIT_MS = 1000;

/** Finds out when the kernel has let go of a queue whose socket was closed. Control path. */
export class ReleaseWatch {
  private readonly netdev: NetdevFamily;
  private readonly ifindex: number;
  private readonly queueIdx: number;
  /** The kernel was seen to list the socket while it was bound, so its word counts when it does not. */
  private readonly isTold: boolean;
  private closedAtMs = 0;
  private isConfirmed = false;

  /** To be made while the socket is bound. */
  constructor(netdev: NetdevFamily, ifindex: number, queueIdx: number) {
    this.netdev = netdev;
    this.ifindex = ifindex;
    this.queueIdx = queueIdx;
    this.isTold = this.isListed() === true;
  }

  /** The socket is closed now. */
  start(): void {
    this.closedAtMs = performance.now();
  }

  /** Another socket was bound to the queue, which the kernel allows only when this one let go. */
  confirm(): void {
    this.isConfirmed = true;
  }

  /** Whether the kernel let go of the queue. */
  isReleased(): boolean {
    if (this.isConfirmed) return true;
    const isListed = this.isTold ? this.isListed() : null;
    return isListed === null ? performance.now() - this.closedAtMs >= BLIND_WAIT_MS : !isListed;
  }

  /** Whether the kernel lists a socket on the queue; null when it does not list the queue, as for a device that is down. */
  private isListed(): boolean | null {
    try {
      const { items } = this.netdev.queues(this.ifindex);
      return items.find(({ type, id }) => type === "rx" && id === this.queueIdx)?.xsk ?? null;
    } catch (error) {
      // An interface that was removed has let go of everything.
      return isSystemCallError(error) && error.errno === "ENODEV" ? false : null;
    }
  }
}
