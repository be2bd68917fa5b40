/** A driver that runs on a worker of its own, and the module that a `WorkerGroup` imports there. */
import { asPageRef, type Host, idxOf, MemType } from "@netmem/core";
import type { QueueDriver, QueueDriverStats, QueueWorkerContext, QueueWorkerParts, RxQueue } from "@netmem/netdev";
import { createPagePool, type PagePool } from "@netmem/page-pool";
import { attachNicQueue, DESC_LENGTH, FrameTx, type NicQueue, type SharedNicQueueInput } from "@netmem/sim-nic";
import { XdpBuff } from "@netmem/skb";

export { attachHost } from "netmem";

const HEADROOM_BYTES = 256;
const ROOM_BYTES = 2048;
const FIRST_LINK = 1;

/** Packets of one buffer each, from a page pool. */
export class SmallDriver implements QueueDriver {
  readonly composition = "small";
  private readonly host: Host;
  private readonly queue: RxQueue;
  private readonly hw: NicQueue;
  private readonly tx: FrameTx;
  private readonly xdp: XdpBuff;
  private readonly refs: Int32Array;
  private pool: PagePool | null = null;

  constructor(host: Host, queue: RxQueue, hw: NicQueue) {
    this.host = host;
    this.queue = queue;
    this.hw = hw;
    this.tx = new FrameTx(host, hw, queue.counters);
    this.xdp = new XdpBuff(host, queue.info, host.pageSizeBytes);
    this.refs = new Int32Array(hw.rx.size);
  }

  start(): void {
    const { host, queue, hw } = this;
    this.pool = createPagePool(host, { poolSize: hw.rx.size, napi: queue.napi, rxq: queue });
    host.mem.regMemModel(queue.info, MemType.PagePool, this.pool);
    this.refill(this.pool);
    hw.enable(queue.napi);
    hw.irq.unmask();
  }

  stop(): void {
    const { pool, hw, refs } = this;
    if (pool === null) return;
    this.tx.stop();
    const { rx } = hw;
    for (let n = rx.cleaned; n !== rx.producer; n++) pool.putFullPage(asPageRef(refs[n & rx.mask]!));
    hw.disable();
    pool.destroy();
    this.pool = null;
  }

  poll(budget: number): number {
    const { pool, hw, queue, xdp, refs, host } = this;
    if (pool === null) return 0;
    const { rx } = hw;
    this.tx.clean();
    let work = 0;
    for (; rx.cleaned !== rx.completed && work < budget; work++) {
      const ref = asPageRef(refs[rx.cleaned & rx.mask]!);
      xdp.prepare(ref, host.offsetOf(ref), HEADROOM_BYTES, host.i32[rx.descAt(rx.cleaned) + DESC_LENGTH]!);
      rx.cleaned++;
      if (queue.burst.run(xdp)) pool.recycleDirect(ref);
    }
    this.refill(pool);
    queue.burst.flush();
    if (work < budget && queue.napi.completeDone()) hw.irq.unmask();
    return work;
  }

  xdpXmit(frames: Int32Array, n: number): number {
    return this.tx.xmit(frames, n);
  }

  inflight(): number {
    return this.pool?.inflight() ?? 0;
  }

  getStats(): QueueDriverStats {
    return { alloc: { fast: 0, refill: 0, slow: 0 }, recycle: { cached: 0, ring: 0, released: 0 } };
  }

  private refill(pool: PagePool): void {
    const { rx } = this.hw;
    for (let room = rx.room; room > 0; room--) {
      const ref = pool.allocPages();
      if (ref === 0) return;
      this.refs[rx.producer & rx.mask] = ref;
      rx.post(idxOf(ref), HEADROOM_BYTES, ROOM_BYTES, 0);
    }
  }
}

/** Every packet comes to the verdict that it asks for with its first byte. */
export function createWorker({ host, queue, hardware, data }: QueueWorkerContext): QueueWorkerParts {
  if (data === "fail") throw new Error("asked to fail");
  const port = attachNicQueue(host, hardware as SharedNicQueueInput);
  return {
    driver: new SmallDriver(host, queue, port),
    port,
    program: (xdp) => {
      if (host.u8[xdp.data] === 255) throw new Error("asked to die");
      xdp.redirectIfindex = FIRST_LINK;
      return host.u8[xdp.data]!;
    },
    finish: () => `${queue.counters.read().rxPackets} packets`,
  };
}
