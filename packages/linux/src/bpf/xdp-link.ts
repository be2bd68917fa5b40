import { NetmemError } from "@netmem/core";
import { Errno, errnoName } from "../errno.ts";
import type { System } from "../system.ts";
import { SystemCallError } from "../system-call-error.ts";
import { ATTACH_XDP, BpfCommand, XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE } from "./bpf-abi.ts";
import { BpfAttr } from "./bpf-attr.ts";
import type { XdpProgram } from "./xdp-program.ts";

/** Where a program runs: in the driver, or behind it on packets that have become skbs, which any interface can. */
export type XdpMode = "native" | "skb";

export interface AttachXdpParams {
  readonly program: XdpProgram;
  readonly ifindex: number;
  /** `auto` (the default): native where the driver can, else skb. */
  readonly mode?: XdpMode | "auto";
}

/** A program on an interface. It is detached by {@link detach}, and by the kernel when the process ends in any way. */
export class XdpLink {
  readonly fd: number;
  readonly ifindex: number;
  readonly mode: XdpMode;
  /** Why a program that was to be attached in any mode is not in the driver; empty when it is. */
  readonly whyNotNative: string;
  private readonly system: System;
  private isAttached = true;

  /** @internal Use {@link attachXdp}. */
  constructor(system: System, fd: number, ifindex: number, mode: XdpMode, whyNotNative: string) {
    this.system = system;
    this.fd = fd;
    this.ifindex = ifindex;
    this.mode = mode;
    this.whyNotNative = whyNotNative;
  }

  /** Takes the program off. Once is enough. */
  detach(): void {
    if (this.isAttached) this.system.close(this.fd);
    this.isAttached = false;
  }

  [Symbol.dispose](): void {
    this.detach();
  }
}

function createLink(system: System, { program, ifindex }: AttachXdpParams, flags: number): number {
  const attr = new BpfAttr(system).u32(0, program.fd).u32(4, ifindex).u32(8, ATTACH_XDP).u32(12, flags);
  return attr.call(BpfCommand.LinkCreate);
}

/**
 * Attaches a program to an interface. A program that is there already is never replaced.
 * @throws `ERR_NETMEM_XDP_ATTACHED` (EBUSY) when the interface has a program; {@link SystemCallError}: EOPNOTSUPP where
 * the driver has no native mode and nothing else was allowed, ERANGE for an MTU that needs a program with `frags`, ENODEV
 */
export function attachXdp(system: System, params: AttachXdpParams): XdpLink {
  const { ifindex, mode = "auto" } = params;
  let whyNotNative = "";
  if (mode !== "skb") {
    const fd = createLink(system, params, XDP_FLAGS_DRV_MODE);
    if (fd >= 0) return new XdpLink(system, fd, ifindex, "native", "");
    if (mode === "native" || isFinal(fd)) failAttach(fd, params);
    whyNotNative = `the driver refuses an XDP program: ${errnoName(fd)}`;
  }
  const fd = createLink(system, params, XDP_FLAGS_SKB_MODE);
  if (fd < 0) failAttach(fd, params);
  return new XdpLink(system, fd, ifindex, "skb", whyNotNative);
}

/** Whether the other mode would fail, too, or hide what the user must know. */
function isFinal(result: number): boolean {
  return [Errno.EBUSY, Errno.EEXIST, Errno.ENODEV, Errno.EPERM].includes(-result as never);
}

function failAttach(result: number, { ifindex, mode = "auto" }: AttachXdpParams): never {
  if (result === -Errno.EBUSY || result === -Errno.EEXIST) {
    throw new NetmemError({
      code: "ERR_NETMEM_XDP_ATTACHED",
      errno: "EBUSY",
      reason: `interface ${ifindex} has an XDP program already`,
      remedy: "Detach it, or join it: give the sockets to its XSKMAP instead of attaching a program.",
      param: "ifindex",
      value: ifindex,
    });
  }
  const action = `attach an XDP program (${mode}) to interface ${ifindex}`;
  throw new SystemCallError("bpf LINK_CREATE", -result, { action, param: "ifindex", value: ifindex });
}
