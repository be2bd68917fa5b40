/*
 * Which interfaces the machine is reached by.
 *
 *   rtmsg       0 family, 1 bits of the destination, 2 bits of the source, 3 tos, 4 table, 5 protocol, 6 scope, 7 type,
 *               8 flags (u32)                                                            12 bytes, then attributes
 *   rtnexthop   0 length (u16), 2 flags, 3 weight, 4 ifindex (u32)                        8 bytes, then attributes
 */
import { NetlinkWriter, readAttributes } from "../netlink-attributes.ts";
import { type NetlinkSocket, NLM_F_DUMP } from "../netlink-socket.ts";
import { AF_INET, AF_INET6 } from "../socket-abi.ts";

const RTM_GETROUTE = 26;
const RTMSG_BYTES = 12;
const NEXTHOP_BYTES = 8;
const RTA_OIF = 4;
const RTA_MULTIPATH = 9;
const RTN_UNICAST = 1;

/** Indices of the interfaces that default routes of IPv4 or IPv6 leave by, in all tables. @throws {@link SystemCallError} */
export function defaultRouteInterfaces(socket: NetlinkSocket): number[] {
  const found = new Set<number>();
  for (const family of [AF_INET, AF_INET6]) {
    const header = new Uint8Array(RTMSG_BYTES);
    header[0] = family;
    const routes = socket.request("RTM_GETROUTE", RTM_GETROUTE, NLM_F_DUMP, new NetlinkWriter().raw(header).finish());
    for (const { payload } of routes) for (const ifindex of interfacesOf(payload)) found.add(ifindex);
  }
  return [...found];
}

/** @internal Interfaces of one route message, none for a route that is no default route. */
export function interfacesOf(route: Uint8Array): number[] {
  if (route[1] !== 0 || route[7] !== RTN_UNICAST) return [];
  return readAttributes(route, RTMSG_BYTES).flatMap((attr) => {
    if (attr.type === RTA_OIF) return [attr.asU32()];
    return attr.type === RTA_MULTIPATH ? nexthops(attr.payload) : [];
  });
}

function nexthops(payload: Uint8Array): number[] {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const found: number[] = [];
  for (let at = 0; at + NEXTHOP_BYTES <= payload.length;) {
    found.push(view.getUint32(at + 4, true));
    const length = view.getUint16(at, true);
    if (length < NEXTHOP_BYTES) break;
    at += (length + 3) & ~3;
  }
  return found;
}
