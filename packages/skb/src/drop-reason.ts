/**
 * Why an skb was dropped: those of the kernel's reasons (`SKB_DROP_REASON_...`) that receiving and forwarding know.
 * Numbers are ours, stable, and indices of the slab's counters.
 */
export const DropReason = {
  NotSpecified: 0,
  NoSocket: 1,
  Xdp: 2,
  CpuBacklog: 3,
  FullRing: 4,
  NoMem: 5,
  HdrTrunc: 6,
  UnhandledProto: 7,
  DevReady: 8,
  PktTooSmall: 9,
  PktTooBig: 10,
  SocketFilter: 11,
  SocketRcvbuff: 12,
  SocketClose: 13,
  ProtoMem: 14,
  TcpCsum: 15,
  UdpCsum: 16,
  IpCsum: 17,
  SkbCsum: 18,
  IpInhdr: 19,
  IpNoproto: 20,
  Otherhost: 21,
  NetfilterDrop: 22,
  QueuePurge: 23,
  QdiscDrop: 24,
  SkbGsoSeg: 25,
  SkbUcopyFault: 26,
  DevHdr: 27,
  DupFrag: 28,
  FragReasmTimeout: 29,
  TcpOldData: 30,
  TcpOverwindow: 31,
  TcpOfomerge: 32,
  TcpZerowindow: 33,
  TcpFlags: 34,
  TcpReset: 35,
  TcpClose: 36,
  TcIngress: 37,
  TcEgress: 38,
  InvalidProto: 39,
} as const;
export type DropReason = (typeof DropReason)[keyof typeof DropReason];

/** Counters that a slab has room for; reasons of your own start behind the last of {@link DropReason}. */
export const DROP_REASON_COUNT = 64;

const names: readonly string[] = Object.keys(DropReason).map((key) =>
  key === "NoMem" ? "NOMEM" : key.replaceAll(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase(),
);

/** The kernel's spelling of a reason, such as "NO_SOCKET"; "REASON_40" for one of your own. Control path. */
export function dropReasonName(reason: number): string {
  return names[reason] ?? `REASON_${reason}`;
}
