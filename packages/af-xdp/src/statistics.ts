import { SOL_XDP, type System } from "@netmem/linux";
import { STATISTICS_BYTES, XdpOption } from "./socket-options.ts";

/** The kernel's counters of one socket (`XDP_STATISTICS`), under its names. Packets or descriptors since the bind. */
export interface XdpStatistics {
  /** Dropped for other reasons than a full ring: larger than a buffer, or no buffers for all pieces. */
  readonly rxDropped: number;
  readonly rxInvalidDescs: number;
  readonly txInvalidDescs: number;
  /** Dropped because nobody took packets off the RX ring. */
  readonly rxRingFull: number;
  /** Times that the kernel wanted a buffer and the fill ring was empty. */
  readonly rxFillRingEmptyDescs: number;
  readonly txRingEmptyDescs: number;
}

/** @internal */
export function readXdpStatistics(system: System, fd: number): XdpStatistics {
  const bytes = new Uint8Array(STATISTICS_BYTES);
  system.check("getsockopt XDP_STATISTICS", system.getsockopt(fd, SOL_XDP, XdpOption.Statistics, bytes));
  const view = new DataView(bytes.buffer);
  const counter = (n: number): number => Number(view.getBigUint64(8 * n, true));
  return {
    rxDropped: counter(0),
    rxInvalidDescs: counter(1),
    txInvalidDescs: counter(2),
    rxRingFull: counter(3),
    rxFillRingEmptyDescs: counter(4),
    txRingEmptyDescs: counter(5),
  };
}

/** The same of a socket that is closed or was never open. @internal */
export const NO_XDP_STATISTICS: XdpStatistics = {
  rxDropped: 0,
  rxInvalidDescs: 0,
  txInvalidDescs: 0,
  rxRingFull: 0,
  rxFillRingEmptyDescs: 0,
  txRingEmptyDescs: 0,
};
