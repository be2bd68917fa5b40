import type { Host } from "@netmem/core";
import { type XdpProgram, XdpVerdict } from "@netmem/netdev";

const ETHER_TYPE = 12;
const IP_PROTOCOL = 23;
const IP_TTL = 22;
const IP_DESTINATION = 30;
const UDP_DESTINATION = 36;
const NEVER = 0xffff;

/** Five programs that look at each packet's header, as different ones would. All of them answer `verdict`. */
export function fivePrograms(host: Host, verdict: number): XdpProgram[] {
  const { u8 } = host;
  const counts = new Int32Array(256);
  return [
    (xdp) =>
      ((u8[xdp.data + ETHER_TYPE]! << 8) | u8[xdp.data + ETHER_TYPE + 1]!) === NEVER ? XdpVerdict.Aborted : verdict,
    (xdp) => {
      const protocol = u8[xdp.data + IP_PROTOCOL]!;
      counts[protocol] = (counts[protocol]! + 1) | 0;
      return verdict;
    },
    (xdp) =>
      ((u8[xdp.data + UDP_DESTINATION]! << 8) | u8[xdp.data + UDP_DESTINATION + 1]!) === NEVER
        ? XdpVerdict.Aborted
        : verdict,
    (xdp) => (u8[xdp.data + IP_TTL]! === 0 ? XdpVerdict.Aborted : verdict),
    (xdp) => {
      let sum = 0;
      for (let n = 0; n < 4; n++) sum = (sum + u8[xdp.data + IP_DESTINATION + n]!) | 0;
      return sum < 0 ? XdpVerdict.Aborted : verdict;
    },
  ];
}
