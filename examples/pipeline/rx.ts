/** First stage: receives, and hands every packet on. It does not poll while the next stage has no room. */
import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import { type QueueWorkerContext, type QueueWorkerParts, XdpVerdict } from "@netmem/netdev";
import { attachNicQueue, type SharedNicQueueInput } from "@netmem/sim-nic";

export { attachHost } from "netmem";

export function createWorker(context: QueueWorkerContext): QueueWorkerParts {
  const { host, queue, hardware } = context;
  const target = context.target("parse");
  const port = attachNicQueue(host, hardware as SharedNicQueueInput);
  return {
    driver: new PagePoolDriver(host, queue, port),
    port,
    program: (xdp) => {
      xdp.redirectIfindex = target;
      return XdpVerdict.Redirect;
    },
    room: () => context.roomOf(target),
  };
}
