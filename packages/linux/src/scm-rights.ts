/*
 * Messages with file descriptors in them (SCM_RIGHTS), over a Unix socket.
 *
 *   msghdr    0 name, 8 namelen, 16 iov, 24 iovlen, 32 control, 40 controllen, 48 flags          56 bytes
 *   iovec     0 base, 8 length                                                                    16 bytes
 *   cmsghdr   0 length with this header, 8 level, 12 type, 16 descriptors (4 bytes each)
 */
import { checkInt } from "@netmem/core";
import { MSG_CMSG_CLOEXEC, MSG_NOSIGNAL, SOL_SOCKET } from "./socket-abi.ts";
import type { NativeBytes } from "./native-bytes.ts";
import type { System } from "./system.ts";

const IOV_AT = 56;
const CONTROL_AT = 72;
const CMSG_HEADER_BYTES = 16;
const MAX_FDS = 253;
const CONTROL_BYTES = CMSG_HEADER_BYTES + 4 * 256;
const DATA_AT = CONTROL_AT + CONTROL_BYTES;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 8;

/** What came: the bytes, a copy, and the descriptors, which the receiver must close. */
export interface FdMessage {
  readonly bytes: Uint8Array;
  readonly fds: readonly number[];
  /** The sender sent more descriptors than were accepted; the kernel closed the rest. */
  readonly truncated: boolean;
}

function prepare(system: System, dataBytes: number, controlBytes: number): NativeBytes {
  const message = system.allocBytes(DATA_AT + dataBytes);
  const { address, view } = message;
  message.setPointer(16, address + IOV_AT);
  message.setPointer(24, 1);
  message.setPointer(32, controlBytes === 0 ? 0 : address + CONTROL_AT);
  message.setPointer(40, controlBytes);
  message.setPointer(IOV_AT, address + DATA_AT);
  view.setUint32(IOV_AT + 8, dataBytes, true);
  return message;
}

/**
 * Sends `bytes` (at least one) and 0 to 253 open descriptors; both processes have them then. Returns the bytes sent, or
 * `-errno`.
 */
export function sendFds(system: System, fd: number, bytes: Uint8Array, fds: readonly number[]): number {
  checkInt("bytes.length", bytes.byteLength, 1, 2 ** 20);
  checkInt("fds.length", fds.length, 0, MAX_FDS);
  const controlBytes = fds.length === 0 ? 0 : CMSG_HEADER_BYTES + 4 * fds.length;
  const message = prepare(system, bytes.byteLength, controlBytes);
  message.u8.set(bytes, DATA_AT);
  message.setPointer(CONTROL_AT, controlBytes);
  message.view.setUint32(CONTROL_AT + 8, SOL_SOCKET, true);
  message.view.setUint32(CONTROL_AT + 12, SCM_RIGHTS, true);
  fds.forEach((one, n) => message.view.setInt32(CONTROL_AT + CMSG_HEADER_BYTES + 4 * n, one, true));
  return system.errnoOr(system.libc.sendmsg(fd, message.address, MSG_NOSIGNAL));
}

function readFds(view: DataView): number[] {
  const length = view.getUint32(40, true) === 0 ? 0 : view.getUint32(CONTROL_AT, true);
  const isRights =
    view.getUint32(CONTROL_AT + 8, true) === SOL_SOCKET && view.getUint32(CONTROL_AT + 12, true) === SCM_RIGHTS;
  const count = isRights ? Math.max(0, (length - CMSG_HEADER_BYTES) >>> 2) : 0;
  return Array.from({ length: count }, (_, n) => view.getInt32(CONTROL_AT + CMSG_HEADER_BYTES + 4 * n, true));
}

/**
 * Receives one message of at most `maxBytes`. Descriptors arrive with close-on-exec. Returns `-errno` (`-EAGAIN`:
 * nothing there with `MSG_DONTWAIT`); no bytes and no descriptors mean that the other side closed.
 */
export function receiveFds(system: System, fd: number, maxBytes: number, flags = 0): FdMessage | number {
  const message = prepare(system, checkInt("maxBytes", maxBytes, 1, 2 ** 20), CONTROL_BYTES);
  const got = system.errnoOr(system.libc.recvmsg(fd, message.address, flags | MSG_CMSG_CLOEXEC));
  if (got < 0) return got;
  return {
    bytes: message.u8.slice(DATA_AT, DATA_AT + got),
    fds: readFds(message.view),
    truncated: (message.view.getUint32(48, true) & MSG_CTRUNC) !== 0,
  };
}
