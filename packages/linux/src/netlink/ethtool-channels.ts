/* How many queues an interface has: the generic netlink family "ethtool". */
import type { NetlinkAttr, NetlinkWriter } from "../netlink-attributes.ts";
import type { Genetlink } from "./genetlink.ts";

const FAMILY = "ethtool";
const CHANNELS_GET = 17;
const CHANNELS_SET = 18;
const HEADER = 1;
const HEADER_DEV_INDEX = 1;
const Attr = { RxMax: 2, TxMax: 3, CombinedMax: 5, Rx: 6, Tx: 7, Combined: 9 } as const;

/** Queues that serve one direction, and queues that serve both; how many there are and may be. */
export interface ChannelCounts {
  readonly rx: number;
  readonly tx: number;
  readonly combined: number;
}

export interface Channels extends ChannelCounts {
  readonly max: ChannelCounts;
}

/** @throws {@link SystemCallError}: EOPNOTSUPP for an interface without channels, ENODEV */
export function readChannels(genetlink: Genetlink, ifindex: number): Channels {
  const write = (writer: NetlinkWriter): void => writeHeader(writer, ifindex);
  const request = { family: FAMILY, command: CHANNELS_GET, name: "ETHTOOL_MSG_CHANNELS_GET", write };
  const [attrs = []] = genetlink.request(request);
  return parseChannels(attrs);
}

/** Changes the counts that are given. @throws {@link SystemCallError}: EINVAL beyond the maximum, EOPNOTSUPP, EPERM */
export function setChannels(genetlink: Genetlink, ifindex: number, counts: Partial<ChannelCounts>): void {
  const write = (writer: NetlinkWriter): void => {
    writeHeader(writer, ifindex);
    if (counts.rx !== undefined) writer.u32(Attr.Rx, counts.rx);
    if (counts.tx !== undefined) writer.u32(Attr.Tx, counts.tx);
    if (counts.combined !== undefined) writer.u32(Attr.Combined, counts.combined);
  };
  genetlink.request({ family: FAMILY, command: CHANNELS_SET, name: "ETHTOOL_MSG_CHANNELS_SET", write });
}

function writeHeader(writer: NetlinkWriter, ifindex: number): void {
  writer.nested(HEADER, (inside) => inside.u32(HEADER_DEV_INDEX, ifindex));
}

/** @internal For tests with messages made by hand. */
export function parseChannels(attrs: readonly NetlinkAttr[]): Channels {
  const count = (type: number): number => attrs.find((attr) => attr.type === type)?.asU32() ?? 0;
  return {
    rx: count(Attr.Rx),
    tx: count(Attr.Tx),
    combined: count(Attr.Combined),
    max: { rx: count(Attr.RxMax), tx: count(Attr.TxMax), combined: count(Attr.CombinedMax) },
  };
}
