/* What an interface is, and which XDP program it has: one rtnetlink message. */
import { type NetlinkAttr, NetlinkWriter, readAttributes } from "../netlink-attributes.ts";
import type { NetlinkSocket } from "../netlink-socket.ts";

const RTM_GETLINK = 18;
/** `struct ifinfomsg`: family, type, index @4, flags @8, change. */
const IFINFOMSG_BYTES = 16;
const IFF_UP = 1;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_XDP = 43;
const XdpAttr = { Attached: 2, ProgId: 4, DrvProgId: 5, SkbProgId: 6, HwProgId: 7 } as const;
const MODES = ["none", "native", "skb", "hw", "multi"] as const;

/** An XDP program that somebody attached. Identifiers are 0 where there is none. */
export interface XdpAttachment {
  /** `multi`: one in the driver and one behind it. */
  readonly mode: (typeof MODES)[number];
  readonly programId: number;
}

export interface InterfaceInfo {
  readonly ifindex: number;
  readonly name: string;
  readonly mtu: number;
  readonly isUp: boolean;
  /** Six bytes for Ethernet. */
  readonly macAddress: Uint8Array;
  /** Null when there is no program. */
  readonly xdp: XdpAttachment | null;
}

/** @throws {@link SystemCallError}: ENODEV */
export function readInterface(socket: NetlinkSocket, ifindex: number): InterfaceInfo {
  const header = new Uint8Array(IFINFOMSG_BYTES);
  new DataView(header.buffer).setUint32(4, ifindex, true);
  const [answer] = socket.request("RTM_GETLINK", RTM_GETLINK, 0, new NetlinkWriter().raw(header).finish());
  return parseInterface(answer?.payload ?? header);
}

/** @internal For tests with messages made by hand. */
export function parseInterface(message: Uint8Array): InterfaceInfo {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const attrs = readAttributes(message, IFINFOMSG_BYTES);
  const find = (type: number): NetlinkAttr | undefined => attrs.find((attr) => attr.type === type);
  return {
    ifindex: view.getUint32(4, true),
    name: find(IFLA_IFNAME)?.asString() ?? "",
    mtu: find(IFLA_MTU)?.asU32() ?? 0,
    isUp: (view.getUint32(8, true) & IFF_UP) !== 0,
    macAddress: find(IFLA_ADDRESS)?.payload.slice() ?? new Uint8Array(6),
    xdp: parseXdp(find(IFLA_XDP)?.asNested() ?? []),
  };
}

function parseXdp(attrs: readonly NetlinkAttr[]): XdpAttachment | null {
  const find = (type: number): NetlinkAttr | undefined => attrs.find((attr) => attr.type === type);
  const mode = MODES[find(XdpAttr.Attached)?.asU8() ?? 0] ?? "none";
  if (mode === "none") return null;
  const ids = [XdpAttr.ProgId, XdpAttr.DrvProgId, XdpAttr.SkbProgId, XdpAttr.HwProgId];
  const programId = ids.map((type) => find(type)?.asU32() ?? 0).find((id) => id !== 0) ?? 0;
  return { mode, programId };
}
