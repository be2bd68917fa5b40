import { XdpFeature } from "@netmem/linux";
import type { AfXdpPort } from "./af-xdp-port.ts";
import type { AfXdpQueue } from "./af-xdp-queue.ts";

export interface QueueReport {
  readonly queueIdx: number;
  readonly mode: "copy" | "zerocopy" | "closed";
  /** Empty when the mode is zero-copy, or was not to be. */
  readonly whyNotZeroCopy: string;
}

/** What a port obtained, and why it is not more. */
export interface PortReport {
  readonly ifname: string;
  readonly mtu: number;
  readonly queueCount: number;
  readonly frags: boolean;
  /** Where the program runs; `joined`: somebody else's; `none`: there is none of ours. */
  readonly xdpMode: "native" | "skb" | "joined" | "none";
  /** Empty when it does, or was not to. */
  readonly whyNotNative: string;
  /** Whether the driver says that it can; null where the kernel does not tell. */
  readonly offersZeroCopy: boolean | null;
  readonly queues: readonly QueueReport[];
}

interface ReportInput {
  readonly mode: PortReport["xdpMode"];
  readonly whyNotNative: string;
  readonly queues: readonly AfXdpQueue[];
}

function offersZeroCopy({ netdev, ifindex }: AfXdpPort): boolean | null {
  try {
    return (netdev.device(ifindex).xdpFeatures & XdpFeature.XskZeroCopy) !== 0;
  } catch {
    return null;
  }
}

/** @internal */
export function reportPort(port: AfXdpPort, { mode, whyNotNative, queues }: ReportInput): PortReport {
  const offers = offersZeroCopy(port);
  const because = offers === false ? "the driver offers none (xdp-features)" : "";
  return {
    ifname: port.ifname,
    mtu: port.mtu,
    queueCount: port.queueCount,
    frags: port.frags,
    xdpMode: mode,
    whyNotNative,
    offersZeroCopy: offers,
    queues: queues.map(({ queueIdx, socket }) => {
      const why = socket?.whyNotZeroCopy ?? "";
      const whyNotZeroCopy = why !== "" && because !== "" ? because : why;
      return { queueIdx, mode: socket?.mode ?? "closed", whyNotZeroCopy };
    }),
  };
}
