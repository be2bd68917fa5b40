import { NetmemError } from "@netmem/core";
import { Errno } from "@netmem/linux";
import { failClosed, interfaceGone } from "./errors.ts";
import type { AfXdpPort } from "./af-xdp-port.ts";
import { ReleaseWatch } from "./release-watch.ts";
import { NO_XDP_STATISTICS, type XdpStatistics } from "./statistics.ts";
import { type XskSocket } from "./xsk-socket.ts";

/** A queue whose socket was closed, and whose buffers the kernel may still have. */
interface Closing {
  readonly socket: XskSocket;
  readonly watch: ReleaseWatch;
}

/**
 * One queue of a port: what a driver starts and stops. At most one socket is open at a time; buffers that the kernel had
 * when one was closed are quarantined until the queue is seen released.
 */
export class AfXdpQueue {
  readonly port: AfXdpPort;
  readonly queueIdx: number;
  /** Null while closed. */
  socket: XskSocket | null = null;
  /** What went wrong with the interface under traffic, null while all is well. */
  fault: NetmemError | null = null;
  private watch: ReleaseWatch | null = null;
  private readonly closing: Closing[] = [];
  private isEnabled = false;
  private last: XdpStatistics = NO_XDP_STATISTICS;

  /** @internal Made by a port. */
  constructor(port: AfXdpPort, queueIdx: number) {
    this.port = port;
    this.queueIdx = queueIdx;
  }

  /** Buffers that the kernel had when a socket was closed, on queues not yet seen released. */
  get quarantinedCount(): number {
    return this.closing.reduce((sum, { socket }) => sum + socket.rings.close(), 0);
  }

  /**
   * Makes and binds the socket. Post buffers, then {@link enable}.
   * @throws what {@link AfXdpPort.openSocket} throws; `ERR_NETMEM_XDP_QUEUE_OPEN` (EBUSY), `ERR_NETMEM_XDP_CLOSED`
   * (EBADF) when its port is closed
   */
  open(): XskSocket {
    if (this.port.isClosed) failClosed("port", `the port of ${this.port.ifname}`);
    if (this.socket !== null) failOpen(this.port.ifname, this.queueIdx);
    this.settle();
    const socket = this.port.openSocket(this.queueIdx);
    // The kernel binds a queue once, so those before have let go; from now on it lists this one.
    for (const { watch } of this.closing) watch.confirm();
    this.watch = new ReleaseWatch(this.port.netdev, this.port.ifindex, this.queueIdx);
    this.socket = socket;
    this.fault = null;
    return socket;
  }

  /** From now on the port's program sends the queue's packets here. */
  enable(): void {
    if (this.socket !== null) this.port.xskMap?.set(this.queueIdx, this.socket.fd);
    this.isEnabled = true;
  }

  /** The queue's packets go to the kernel again. */
  disable(): void {
    if (this.isEnabled) this.port.xskMap?.delete(this.queueIdx);
    this.isEnabled = false;
  }

  /**
   * Closes the socket, whatever the kernel still has. Those buffers go home when the queue is seen released: by a timer
   * of the host's clock, or at {@link settle}.
   */
  close(): void {
    const { socket, watch } = this;
    if (socket === null || watch === null) return;
    this.disable();
    this.last = this.fault === null ? socket.statistics() : this.last;
    this.socket = null;
    this.watch = null;
    socket.close();
    watch.start();
    this.closing.push({ socket, watch });
    if (!this.settle()) this.port.settleLater(this);
  }

  /**
   * Looks whether queues of closed sockets are free, and sends home what they had. True when nothing is left.
   * @throws a misuse error for a buffer that was returned while it was sent; call it again for the rest.
   */
  settle(): boolean {
    for (const one of this.closing.filter(({ watch }) => watch.isReleased())) {
      // Throws for a buffer that its user returned while it was sent; the rest comes home at the next look.
      one.socket.rings.released();
      this.closing.splice(this.closing.indexOf(one), 1);
      this.port.registration.settle();
    }
    return this.closing.length === 0;
  }

  /** The kernel's counters of the open socket, else of the last one. */
  statistics(): XdpStatistics {
    return this.socket === null || this.fault !== null ? this.last : this.socket.statistics();
  }

  /**
   * Judges what a kick returned (`-errno`). True: the kernel has work left, kick again. A removed interface becomes the
   * queue's {@link fault}; one that is down is waited for. Once per burst.
   */
  judgeKick(result: number): boolean {
    if (result >= 0) return false;
    if (result === -Errno.ENXIO || result === -Errno.ENODEV) this.setFault();
    return this.fault === null;
  }

  private setFault(): void {
    if (this.fault !== null) return;
    this.fault = interfaceGone(this.port.ifname, this.queueIdx);
    this.port.onFault?.(this.fault, this.queueIdx);
  }
}

function failOpen(ifname: string, queueIdx: number): never {
  throw new NetmemError({
    code: "ERR_NETMEM_XDP_QUEUE_OPEN",
    errno: "EBUSY",
    reason: `this port has a socket open on queue ${queueIdx} of ${ifname}`,
    remedy: "Give each queue to one driver, and stop it before it starts again.",
    param: "queueIdx",
    value: queueIdx,
  });
}
