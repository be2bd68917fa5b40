/*
 * The part of rtnetlink that interfaces need: links, veth pairs, addresses.
 *
 *   ifinfomsg  0 family u8, 2 type u16, 4 index i32, 8 flags u32, 12 mask of flags u32               16 bytes
 *   ifaddrmsg  0 family u8, 1 prefix length u8, 2 flags u8, 3 scope u8, 4 index u32                   8 bytes
 */
import { checkInt, failParam } from "@netmem/core";
import { parseAddress } from "./ip-address.ts";
import { NetlinkWriter, type NetlinkAttr, readAttributes } from "./netlink-attributes.ts";
import { NETLINK_ROUTE, NetlinkSocket, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL } from "./netlink-socket.ts";
import { type InterfaceInfo, parseInterface } from "./netlink/xdp-attachment.ts";
import { AF_INET, AF_INET6 } from "./socket-abi.ts";
import type { System } from "./system.ts";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const LINK_HEADER_BYTES = 16;
const ADDR_HEADER_BYTES = 8;
const IFLA = {
  address: 1,
  ifname: 3,
  mtu: 4,
  operState: 16,
  linkInfo: 18,
  netNsFd: 28,
  txQueues: 31,
  rxQueues: 32,
} as const;
const IFLA_INFO = { kind: 1, data: 2 } as const;
const VETH_INFO_PEER = 1;
const IFA = { address: 1, local: 2, flags: 8 } as const;
const IFA_F_NODAD = 2;
const IFF_UP = 1;
const IF_OPER_UP = 6;
const IFNAMSIZ = 16;
const MAX_QUEUES = 4096;

/** An interface as the kernel lists it. */
export interface LinkInfo extends InterfaceInfo {
  /** "veth", "bridge" ...; "" for hardware. */
  readonly kind: string;
  /** The kernel's link watcher has seen it up and connected. Comes up to a second after {@link RouteSocket.setUp}. */
  readonly isRunning: boolean;
  readonly rxQueues: number;
  readonly txQueues: number;
}

/** One end of a veth pair. */
export interface VethEnd {
  /** 1 to 15 bytes. */
  readonly name: string;
  /** MAC address; the kernel makes one up where it is absent. */
  readonly address?: string;
  readonly mtu?: number;
  /** RX and TX queues each. Default 1. */
  readonly queues?: number;
  /** Descriptor of the network namespace that it goes to; absent: the one of the socket. */
  readonly netNsFd?: number;
}

function linkHeader(ifindex: number, flags = 0, mask = 0): Uint8Array {
  return new Uint8Array(Int32Array.of(0, ifindex, flags, mask).buffer);
}

function parseMac(address: string): Uint8Array {
  const bytes = address.split(":").map((part) => (/^[0-9a-f]{2}$/i.test(part) ? Number.parseInt(part, 16) : -1));
  if (bytes.length !== 6 || bytes.includes(-1))
    failParam("address", address, "six bytes as 02:00:00:00:00:01", "Pass a MAC address.");
  return Uint8Array.from(bytes);
}

function checkName(name: string): string {
  if (name.length === 0 || new TextEncoder().encode(name).length >= IFNAMSIZ || /[\s/:%]/.test(name)) {
    failParam("name", name, "1 to 15 bytes without spaces, slashes, colons", "Shorten the name of the interface.");
  }
  return name;
}

function writeEnd(writer: NetlinkWriter, end: VethEnd): void {
  writer.string(IFLA.ifname, checkName(end.name));
  if (end.address !== undefined) writer.bytesAttr(IFLA.address, parseMac(end.address));
  if (end.mtu !== undefined) writer.u32(IFLA.mtu, end.mtu);
  if (end.netNsFd !== undefined) writer.u32(IFLA.netNsFd, end.netNsFd);
  const queues = checkInt("queues", end.queues ?? 1, 1, MAX_QUEUES);
  writer.u32(IFLA.rxQueues, queues).u32(IFLA.txQueues, queues);
}

function readLink(payload: Uint8Array): LinkInfo {
  const attrs = readAttributes(payload, LINK_HEADER_BYTES);
  const find = (type: number): NetlinkAttr | undefined => attrs.find((one) => one.type === type);
  const info = find(IFLA.linkInfo)?.asNested() ?? [];
  return {
    ...parseInterface(payload),
    kind: info.find((one) => one.type === IFLA_INFO.kind)?.asString() ?? "",
    isRunning: find(IFLA.operState)?.asU8() === IF_OPER_UP,
    rxQueues: find(IFLA.rxQueues)?.asU32() ?? 1,
    txQueues: find(IFLA.txQueues)?.asU32() ?? 1,
  };
}

/** Interfaces of the network namespace in which it was opened. Changing them needs CAP_NET_ADMIN there. */
export class RouteSocket {
  private readonly socket: NetlinkSocket;

  /** @throws `SystemCallError`. */
  constructor(system: System) {
    this.socket = new NetlinkSocket(system, NETLINK_ROUTE);
  }

  /** All interfaces. */
  links(): LinkInfo[] {
    const answers = this.socket.request("RTM_GETLINK", RTM_GETLINK, NLM_F_DUMP, linkHeader(0));
    return answers.map(({ payload }) => readLink(payload));
  }

  /** The interface of that name, null where there is none. */
  link(name: string): LinkInfo | null {
    return this.links().find((one) => one.name === name) ?? null;
  }

  /** Makes a veth pair; both ends are down. @throws `SystemCallError` (EEXIST, EPERM, ...), `ERR_NETMEM_INVALID_PARAM`. */
  addVeth(end: VethEnd, peer: VethEnd): void {
    const writer = new NetlinkWriter().raw(linkHeader(0));
    writeEnd(writer, end);
    writer.nested(IFLA.linkInfo, (info) => {
      info.string(IFLA_INFO.kind, "veth").nested(IFLA_INFO.data, (data) => {
        data.nested(VETH_INFO_PEER, (inside) => writeEnd(inside.raw(linkHeader(0)), peer));
      });
    });
    this.socket.request("RTM_NEWLINK", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, writer.finish());
  }

  /** Brings an interface up or down. */
  setUp(ifindex: number, up = true): void {
    this.change(new NetlinkWriter().raw(linkHeader(ifindex, up ? IFF_UP : 0, IFF_UP)));
  }

  setMtu(ifindex: number, mtuBytes: number): void {
    this.change(new NetlinkWriter().raw(linkHeader(ifindex)).u32(IFLA.mtu, mtuBytes));
  }

  /** Moves an interface into another network namespace; it goes down on the way. */
  setNetNs(ifindex: number, netNsFd: number): void {
    this.change(new NetlinkWriter().raw(linkHeader(ifindex)).u32(IFLA.netNsFd, netNsFd));
  }

  /** Adds an address with its prefix: `10.0.0.1/24`, `fd00::1/64`. Usable at once: duplicates are not looked for. */
  addAddress(ifindex: number, cidr: string): void {
    const [text = "", prefix = ""] = cidr.split("/");
    const bytes = parseAddress(text);
    const isV4 = bytes.byteLength === 4;
    if (!/^\d+$/.test(prefix)) failParam("cidr", cidr, "an address with a prefix, as 10.0.0.1/24", "Add the prefix.");
    const header = new Uint8Array(ADDR_HEADER_BYTES);
    header[0] = isV4 ? AF_INET : AF_INET6;
    header[1] = checkInt("prefix", Number(prefix), 0, bytes.byteLength * 8);
    new DataView(header.buffer).setUint32(4, ifindex, true);
    const writer = new NetlinkWriter().raw(header).bytesAttr(IFA.local, bytes).bytesAttr(IFA.address, bytes);
    writer.u32(IFA.flags, IFA_F_NODAD);
    this.socket.request("RTM_NEWADDR", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, writer.finish());
  }

  /** Removes an interface; of a veth pair, both ends. */
  remove(ifindex: number): void {
    this.socket.request("RTM_DELLINK", RTM_DELLINK, 0, linkHeader(ifindex));
  }

  /** Closes it; more calls do nothing. */
  close(): void {
    this.socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private change(writer: NetlinkWriter): void {
    this.socket.request("RTM_NEWLINK", RTM_NEWLINK, 0, writer.finish());
  }
}
