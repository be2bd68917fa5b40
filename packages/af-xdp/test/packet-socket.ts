import { AF_PACKET, MSG_DONTWAIT, SO_RCVBUF, SOCK_CLOEXEC, SOCK_RAW, SOL_SOCKET, type System } from "@netmem/linux";
import type { TestnetEnd } from "@netmem/linux/testnet";

const ETH_P_ALL_BE = 0x0300;
const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;
const SOCKADDR_LL_BYTES = 20;
const MAX_FRAME_BYTES = 65536;

/** The other side of the cable, as the kernel's own stack sees it: whole frames in and out of an interface. */
export class PacketSocket {
  private readonly system: System;
  private readonly fd: number;
  private readonly buffer = new Uint8Array(MAX_FRAME_BYTES);

  constructor(system: System, { namespace, link }: TestnetEnd) {
    this.system = system;
    this.fd = namespace.run(() =>
      system.check("socket", system.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, ETH_P_ALL_BE)),
    );
    const address = new Uint8Array(SOCKADDR_LL_BYTES);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, ETH_P_ALL_BE, true);
    view.setUint32(4, link.ifindex, true);
    system.check("setsockopt", system.setsockoptInt(this.fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1));
    system.setsockoptInt(this.fd, SOL_SOCKET, SO_RCVBUF, 8 * 2 ** 20);
    system.check("bind", system.bind(this.fd, address));
  }

  /** Puts a frame on the cable; `-errno` when the kernel would not. */
  send(frame: Uint8Array): number {
    return this.system.send(this.fd, frame, 0);
  }

  /** Everything that came since the last call. */
  takeAll(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (;;) {
      const got = this.system.recv(this.fd, this.buffer, MSG_DONTWAIT);
      if (got < 0) return frames;
      frames.push(this.buffer.slice(0, got));
    }
  }

  close(): void {
    this.system.close(this.fd);
  }
}
