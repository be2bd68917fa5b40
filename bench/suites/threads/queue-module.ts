/** Workers of the hand-over rows: one that receives, and one that only makes skbs of frames and consumes them. */

import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import { type QueueWorkerContext, type QueueWorkerParts, XdpVerdict } from "@netmem/netdev";
import { attachNicQueue, type SharedNicQueueInput } from "@netmem/sim-nic";
import { consumeSkbBulk } from "@netmem/skb";

export { attachHost } from "netmem";

export type QueueRole = "drop" | "consume" | "forward" | "sink";

export function createWorker(context: QueueWorkerContext): QueueWorkerParts {
  const { host, queue, skbs, hardware } = context;
  const role = context.data as QueueRole;
  const receive = (received: Int32Array, count: number): void => consumeSkbBulk(skbs, received, count);
  if (role === "sink") return { receive };
  const port = attachNicQueue(host, hardware as SharedNicQueueInput);
  const target = role === "forward" ? context.target("sink") : 0;
  const verdict = { drop: XdpVerdict.Drop, consume: XdpVerdict.Pass, forward: XdpVerdict.Redirect }[role];
  return {
    driver: new PagePoolDriver(host, queue, port),
    port,
    receive,
    program: (xdp) => {
      xdp.redirectIfindex = target;
      return verdict;
    },
    ...(role === "forward" && { room: () => context.roomOf(target) }),
  };
}
