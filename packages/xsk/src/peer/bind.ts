import { BindFlag, UmemFlag } from "../abi.ts";
import { zeroCopyFrameBytes } from "../chunk-geometry.ts";
import type { Umem } from "../umem.ts";
import { failCall } from "./peer-errors.ts";
import type { XskDevice } from "./xsk-device.ts";
import { XskQueue } from "./xsk-queue.ts";
import type { XskSocket } from "./xsk-socket.ts";

/** `sockaddr_xdp`. */
export interface BindParams {
  readonly ifindex: number;
  readonly queueIdx: number;
  /** `BindFlag`. Default 0. */
  readonly flags?: number;
  /** With `BindFlag.SharedUmem`: descriptor of the socket whose UMEM it is. */
  readonly sharedFd?: number;
  /** Default AF_XDP. */
  readonly family?: number;
}

const AF_XDP = 44;
const ALL_FLAGS = BindFlag.SharedUmem | BindFlag.Copy | BindFlag.ZeroCopy | BindFlag.UseNeedWakeup | BindFlag.UseSg;

const fail = (errno: string, reason: string, param: string, value: unknown): never =>
  failCall("BIND", errno, reason, param, value);

/** The queue that the socket belongs to from now on, with the kernel's checks in the kernel's order (`xsk_bind`). */
export function bindSocket(socket: XskSocket, params: BindParams): XskQueue {
  const { ifindex, queueIdx, flags = 0, family = AF_XDP } = params;
  if (family !== AF_XDP) fail("EINVAL", `address family ${family}`, "family", family);
  if ((flags & ~ALL_FLAGS) !== 0) fail("EINVAL", `flags 0x${flags.toString(16)}`, "flags", flags);
  if (socket.isBound) fail("EBUSY", "the socket is bound", "socket", socket.fd);
  const device = socket.kernel.device(ifindex);
  const { layouts } = socket;
  if (layouts.rx === null && layouts.tx === null) fail("EINVAL", "the socket has neither RX nor TX ring", "rings", 0);
  if ((flags & BindFlag.SharedUmem) !== 0) return bindShared(socket, device, params, flags);
  if (socket.umem === null) fail("EINVAL", "the socket has no UMEM", "umem", null);
  return createQueue(socket, socket.umem!, device, queueIdx, flags);
}

function bindShared(socket: XskSocket, device: XskDevice, params: BindParams, flags: number): XskQueue {
  if (flags !== BindFlag.SharedUmem) fail("EINVAL", "SharedUmem excludes all other flags", "flags", flags);
  if (socket.umem !== null) fail("EINVAL", "the socket has a UMEM of its own", "umem", socket.fd);
  const other = socket.kernel.socketOf(params.sharedFd ?? -1);
  const { queue } = other;
  if (queue === null) return fail("EBADF", `socket ${other.fd} is not bound`, "sharedFd", other.fd);
  const { fill, completion } = socket.layouts;
  if (queue.device !== device || queue.queueIdx !== params.queueIdx) {
    const inherited = (queue.hasSg ? BindFlag.UseSg : 0) | (queue.usesNeedWakeup ? BindFlag.UseNeedWakeup : 0);
    const mode = queue.isZeroCopy ? BindFlag.ZeroCopy : BindFlag.Copy;
    return createQueue(socket, queue.umem, device, params.queueIdx, inherited | mode);
  }
  if (fill !== null || completion !== null) {
    fail("EINVAL", "the queue has a fill and a completion ring", "rings", socket.fd);
  }
  return queue;
}

function createQueue(socket: XskSocket, umem: Umem, device: XskDevice, queueIdx: number, flags: number): XskQueue {
  const { fill, completion } = socket.layouts;
  if (fill === null || completion === null) {
    return fail("EINVAL", "the socket lacks its fill or completion ring", "rings", socket.fd);
  }
  if (!Number.isInteger(queueIdx) || queueIdx < 0 || queueIdx >= device.queueCount) {
    fail("EINVAL", `device ${device.ifindex} has no queue ${queueIdx}`, "queueIdx", queueIdx);
  }
  const both = BindFlag.Copy | BindFlag.ZeroCopy;
  if ((flags & both) === both) fail("EINVAL", "Copy and ZeroCopy exclude each other", "flags", flags);
  if (device.pools[queueIdx] !== null) fail("EBUSY", `queue ${queueIdx} has an XSK pool`, "queueIdx", queueIdx);
  if ((umem.flags & UmemFlag.TxSwCsum) !== 0 && device.noLinear) {
    fail("EOPNOTSUPP", "checksums in software on a device without linear packets", "umem", umem.flags);
  }
  const hasSg = (flags & BindFlag.UseSg) !== 0;
  return new XskQueue(socket.host, {
    umem,
    device,
    queueIdx,
    fill,
    completion,
    isZeroCopy: (flags & BindFlag.Copy) === 0 && canZeroCopy(device, umem, flags, hasSg),
    hasSg,
    usesNeedWakeup: (flags & BindFlag.UseNeedWakeup) !== 0,
    releaseRings: () => socket.releaseQueueRings(),
  });
}

/** Whether the driver takes the queue; where it was asked to, its no is an error. */
function canZeroCopy(device: XskDevice, umem: Umem, flags: number, hasSg: boolean): boolean {
  const isForced = (flags & BindFlag.ZeroCopy) !== 0;
  const refuse = (errno: string, reason: string): boolean => (isForced ? fail(errno, reason, "flags", flags) : false);
  const { zeroCopyMaxSegs } = device;
  if (zeroCopyMaxSegs === 0) return refuse("EOPNOTSUPP", "the driver has no zero copy");
  if (device.hasProvider) return refuse("EBUSY", "a queue of the device has a memory provider");
  if (zeroCopyMaxSegs === 1 && hasSg) return refuse("EOPNOTSUPP", "the driver has no multi-buffer zero copy");
  const frameBytes = zeroCopyFrameBytes(umem.geometry, hasSg);
  const room = hasSg ? frameBytes * zeroCopyMaxSegs : frameBytes;
  return device.mtuBytes <= room || refuse("EINVAL", `an MTU of ${device.mtuBytes} does not fit ${room} bytes`);
}
