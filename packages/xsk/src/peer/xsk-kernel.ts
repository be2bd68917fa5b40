import type { Host } from "@netmem/core";
import { failCall } from "./peer-errors.ts";
import { XskDevice, type XskDeviceParams } from "./xsk-device.ts";
import { XskSocket } from "./xsk-socket.ts";

/** What else a file descriptor may be. */
export type OtherFile = "file" | "socket";

/**
 * The kernel's side of XDP sockets, in this process: devices, sockets, bind with all its errors, and behind them copy mode
 * and what a zero-copy driver calls. Needs no privileges, no thread and no Linux.
 */
export class XskKernel {
  readonly host: Host;
  private readonly devices = new Map<number, XskDevice>();
  private readonly files = new Map<number, XskSocket | OtherFile>();
  private nextFd = 3;

  constructor(host: Host) {
    this.host = host;
  }

  addDevice(params: XskDeviceParams): XskDevice {
    const device = new XskDevice(params);
    this.devices.set(params.ifindex, device);
    return device;
  }

  /** @internal */
  device(ifindex: number): XskDevice {
    return this.devices.get(ifindex) ?? failCall("BIND", "ENODEV", `there is no device ${ifindex}`, "ifindex", ifindex);
  }

  /** `socket(AF_XDP, SOCK_RAW, 0)` */
  createSocket(): XskSocket {
    const socket = new XskSocket(this, this.nextFd++);
    this.files.set(socket.fd, socket);
    return socket;
  }

  /** A descriptor of something that is no XDP socket; for trying what bind says. */
  openOther(kind: OtherFile): number {
    this.files.set(this.nextFd, kind);
    return this.nextFd++;
  }

  /** @internal The XDP socket behind a descriptor (`xsk_lookup_xsk_from_fd`). */
  socketOf(fd: number): XskSocket {
    const file = this.files.get(fd);
    if (file === undefined || file === "file") {
      failCall("BIND", "ENOTSOCK", `descriptor ${fd} is no socket`, "sharedFd", fd);
    }
    return file === "socket" ? failCall("BIND", "ENOPROTOOPT", `socket ${fd} is not AF_XDP`, "sharedFd", fd) : file;
  }

  /** @internal */
  forget(fd: number): void {
    this.files.delete(fd);
  }
}
