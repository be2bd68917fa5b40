/* data path */
import { checkInt } from "@netmem/core";
import type { XdpBuff } from "@netmem/skb";
import { XdpVerdict } from "./xdp-program.ts";

const REDIRECT = XdpVerdict.Redirect;

/** Devices by a key of your own, for programs that redirect (kernel: `BPF_MAP_TYPE_DEVMAP`). */
export class DevMap {
  declare private readonly ifindexes: Int32Array;

  /** `size` keys, 0 to size - 1; at most 65536. */
  constructor(size: number) {
    this.ifindexes = new Int32Array(checkInt("size", size, 1, 65536));
  }

  /** Key `key` leads to device `ifindex`, or nowhere with 0. */
  set(key: number, ifindex: number): void {
    this.ifindexes[checkInt("key", key, 0, this.ifindexes.length - 1)] = checkInt("ifindex", ifindex, 0, 2 ** 30);
  }

  /** The verdict for a packet that should go where `key` leads; `fallback` for an unknown key (`bpf_redirect_map`). */
  redirect(xdp: XdpBuff, key: number, fallback: number): number {
    const ifindex = this.ifindexes[key] ?? 0;
    if (ifindex === 0) return fallback;
    xdp.redirectIfindex = ifindex;
    return REDIRECT;
  }
}
