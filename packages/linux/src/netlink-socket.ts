/*
 * One netlink socket, request by request.
 *
 *   nlmsghdr   0 length with this header, 4 type (u16), 6 flags (u16), 8 sequence, 12 port         16 bytes
 *   nlmsgerr   nlmsghdr, then -errno (0: acknowledged), the request's header, extended-ack attributes
 */
import { failMalformed, readAttributes } from "./netlink-attributes.ts";
import { AF_NETLINK, SO_RCVTIMEO, SOCK_CLOEXEC, SOCK_RAW, SOL_NETLINK, SOL_SOCKET } from "./socket-abi.ts";
import { SystemCallError } from "./system-call-error.ts";
import type { System } from "./system.ts";

export const NETLINK_ROUTE = 0;
export const NETLINK_GENERIC = 16;

export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

const HEADER_BYTES = 16;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const NLMSGERR_ATTR_MSG = 1;
const RECEIVE_BYTES = 65536;
const TIMEOUT_S = 5n;

/** One message that was received, without its header. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

/**
 * A netlink socket of the network namespace that this thread is in when it is opened; it stays there. Blocking, control
 * path; a request that the kernel does not answer within five seconds fails with EAGAIN.
 */
export class NetlinkSocket {
  private readonly system: System;
  private readonly fd: number;
  private readonly buffer = new Uint8Array(RECEIVE_BYTES);
  private sequence = 0;
  private open = true;

  /**
   * @param protocol {@link NETLINK_ROUTE} or {@link NETLINK_GENERIC}.
   * @throws {@link SystemCallError}.
   */
  constructor(system: System, protocol: number) {
    this.system = system;
    this.fd = system.check("socket", system.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), {
      action: "open a netlink socket",
    });
    // Not known to every kernel that we support, and nothing but better messages when it is.
    for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK]) {
      system.setsockoptInt(this.fd, SOL_NETLINK, option, 1);
    }
    system.setsockopt(this.fd, SOL_SOCKET, SO_RCVTIMEO, new Uint8Array(BigInt64Array.of(TIMEOUT_S, 0n).buffer));
  }

  /**
   * Sends one request and returns what the kernel answered: nothing for a change, one message for a get, all of them
   * for a dump. `name` is the request's, for the error: "RTM_NEWLINK".
   * @throws {@link SystemCallError} with the call "netlink NAME", the kernel's errno and its own words.
   */
  request(name: string, type: number, flags: number, payload: Uint8Array): NetlinkMessage[] {
    const sequence = ++this.sequence;
    const isDump = (flags & NLM_F_DUMP) === NLM_F_DUMP;
    const allFlags = flags | NLM_F_REQUEST | (isDump ? 0 : NLM_F_ACK);
    const message = frame(type, allFlags, sequence, payload);
    this.system.check(`netlink ${name}`, this.system.send(this.fd, message, 0));
    return this.collect(name, sequence);
  }

  /** Closes it; more calls do nothing. */
  close(): void {
    if (this.open) this.system.close(this.fd);
    this.open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private collect(name: string, sequence: number): NetlinkMessage[] {
    const answers: NetlinkMessage[] = [];
    for (;;) {
      const got = this.system.check(`netlink ${name}`, this.system.recv(this.fd, this.buffer, 0));
      if (this.take(name, sequence, this.buffer.slice(0, got), answers)) return answers;
    }
  }

  /**
   * Reads the messages of one datagram; true after the one that ends the answer. A dump ends with DONE, whatever its flags
   * say. What is left of a request that timed out has another sequence number.
   */
  private take(name: string, sequence: number, bytes: Uint8Array, answers: NetlinkMessage[]): boolean {
    const view = new DataView(bytes.buffer);
    let next = 0;
    for (let at = 0; at + HEADER_BYTES <= bytes.byteLength; at = next) {
      const length = view.getUint32(at, true);
      if (length < HEADER_BYTES || at + length > bytes.byteLength) failMalformed(`${length} bytes at ${at}`);
      next = at + ((length + 3) & ~3);
      if (view.getUint32(at + 8, true) !== sequence) continue;
      const type = view.getUint16(at + 4, true);
      const flags = view.getUint16(at + 6, true);
      const payload = bytes.subarray(at + HEADER_BYTES, at + length);
      if (type === NLMSG_ERROR || type === NLMSG_DONE) {
        checkStatus(name, flags, payload);
        return true;
      }
      answers.push({ type, flags, payload });
    }
    return false;
  }
}

function frame(type: number, flags: number, sequence: number, payload: Uint8Array): Uint8Array {
  const message = new Uint8Array(HEADER_BYTES + payload.byteLength);
  const view = new DataView(message.buffer);
  view.setUint32(0, message.byteLength, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  message.set(payload, HEADER_BYTES);
  return message;
}

/** Both DONE and ERROR begin with 0 or -errno. */
function checkStatus(name: string, flags: number, payload: Uint8Array): void {
  if (payload.byteLength < 4) return;
  const status = new DataView(payload.buffer, payload.byteOffset).getInt32(0, true);
  if (status >= 0) return;
  const words = extendedAck(flags, payload);
  const action = words === "" ? name : `${name} (the kernel says: ${words})`;
  throw new SystemCallError(`netlink ${name}`, -status, { action });
}

function extendedAck(flags: number, payload: Uint8Array): string {
  if ((flags & NLM_F_ACK_TLVS) === 0) return "";
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const isCapped = (flags & NLM_F_CAPPED) !== 0 || payload.byteLength < 4 + HEADER_BYTES;
  const requestBytes = isCapped ? HEADER_BYTES : (view.getUint32(4, true) + 3) & ~3;
  const found = readAttributes(payload, 4 + requestBytes).find((one) => one.type === NLMSGERR_ATTR_MSG);
  return found?.asString() ?? "";
}
