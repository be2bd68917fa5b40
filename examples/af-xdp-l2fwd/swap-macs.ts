import type { Host } from "@netmem/core";
import type { XdpBuff } from "@netmem/skb";

/** Exchanges the two MAC addresses of a frame, where it lies. */
export function swapMacs(host: Host, xdp: XdpBuff): void {
  const { u8 } = host;
  const at = xdp.data;
  for (let n = 0; n < 6; n++) {
    const byte = u8[at + n]!;
    u8[at + n] = u8[at + 6 + n]!;
    u8[at + 6 + n] = byte;
  }
}
