/** What each worker runs: a driver over a page pool, and a program that hands every packet to the next worker. */
import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import { type QueueWorkerContext, type QueueWorkerParts, XdpVerdict } from "@netmem/netdev";
import { attachNicQueue, type SharedNicQueueInput } from "@netmem/sim-nic";

export { attachHost } from "netmem";

/** What a worker is told. */
export interface WorkerData {
  /** Worker that it forwards to. */
  readonly next: string;
}

/** What it says when it stopped. */
export interface WorkerResult {
  readonly workerId: number;
  /** Buffers of its pool that came home by way of other threads. */
  readonly delivered: number;
}

export function createWorker(context: QueueWorkerContext): QueueWorkerParts {
  const { host, queue, hardware } = context;
  const target = context.target((context.data as WorkerData).next);
  const port = attachNicQueue(host, hardware as SharedNicQueueInput);
  return {
    driver: new PagePoolDriver(host, queue, port),
    port,
    program: (xdp) => {
      xdp.redirectIfindex = target;
      return XdpVerdict.Redirect;
    },
    finish: (): WorkerResult => ({ workerId: host.workerId, delivered: host.returnCounts.delivered }),
  };
}
