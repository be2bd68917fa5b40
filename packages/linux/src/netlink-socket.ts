/*
 * One netlink socket, request by request.
 *
 *   nlmsghdr   0 length with this header, 4 type (u16), 6 flags (u16), 8 sequence, 12 port         16 bytes
 *   nlmsgerr   nlmsghdr, then -errno (0: acknowledged), the request's header, extended-ack attributes
 *   done       nlmsghdr, then -errno (0: complete), extended-ack attributes
 */
import { Errno } from "./errno.ts";
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
const STATUS_BYTES = 4;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const NLMSGERR_ATTR_MSG = 1;
const RECEIVE_BYTES = 65536;
const TIMEOUT_S = 5n;
/** How often a dump is asked for while what it lists keeps changing. */
const DUMP_ATTEMPTS = 10;

/** One message that was received, without its header. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** What came so far. */
interface Answer {
  readonly messages: NetlinkMessage[];
  /** False: something changed while the kernel listed it, so that an object may be missing or there twice. */
  isWhole: boolean;
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
   * for a dump. A dump during which something changed is asked for again. `name` is the request's, for the error:
   * "RTM_NEWLINK".
   * @throws {@link SystemCallError} with the call "netlink NAME", the kernel's errno and its own words; EBADF when the
   * socket is closed, EINTR when ten dumps in a row were overtaken by changes.
   */
  request(name: string, type: number, flags: number, payload: Uint8Array): NetlinkMessage[] {
    for (let n = 0; n < DUMP_ATTEMPTS; n++) {
      const answers = this.ask(name, type, flags, payload);
      if (answers !== null) return answers;
    }
    throw new SystemCallError(`netlink ${name}`, Errno.EINTR, { remedy: "Try again when fewer things change." });
  }

  /** Null for a dump that does not fit together. */
  private ask(name: string, type: number, flags: number, payload: Uint8Array): NetlinkMessage[] | null {
    // The number of a closed descriptor may be somebody else's by now.
    if (!this.open) throw new SystemCallError(`netlink ${name}`, Errno.EBADF);
    const sequence = (this.sequence + 1) >>> 0;
    this.sequence = sequence;
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

  private collect(name: string, sequence: number): NetlinkMessage[] | null {
    const answer: Answer = { messages: [], isWhole: true };
    for (;;) {
      const result = this.system.recv(this.fd, this.buffer, 0);
      // A signal, which has nothing to do with the request. Calls with a time limit are not restarted by the kernel.
      if (result === -Errno.EINTR) continue;
      const got = this.system.check(`netlink ${name}`, result);
      if (this.take(name, sequence, this.buffer.slice(0, got), answer)) break;
    }
    return answer.isWhole ? answer.messages : null;
  }

  /**
   * Reads the messages of one datagram; true after the one that ends the answer. A dump ends with DONE, whatever its flags
   * say. What is left of a request that timed out has another sequence number.
   */
  private take(name: string, sequence: number, bytes: Uint8Array, answer: Answer): boolean {
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
      if ((flags & NLM_F_DUMP_INTR) !== 0) answer.isWhole = false;
      if (type === NLMSG_ERROR || type === NLMSG_DONE) {
        checkStatus(name, { type, flags, payload });
        return true;
      }
      answer.messages.push({ type, flags, payload });
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
function checkStatus(name: string, message: NetlinkMessage): void {
  const { payload } = message;
  if (payload.byteLength < STATUS_BYTES) return;
  const status = new DataView(payload.buffer, payload.byteOffset).getInt32(0, true);
  if (status >= 0) return;
  const words = extendedAck(message);
  const action = words === "" ? name : `${name} (the kernel says: ${words})`;
  throw new SystemCallError(`netlink ${name}`, -status, { action });
}

function extendedAck(message: NetlinkMessage): string {
  if ((message.flags & NLM_F_ACK_TLVS) === 0) return "";
  const from = STATUS_BYTES + echoedBytes(message);
  const found = readAttributes(message.payload, from).find((one) => one.type === NLMSGERR_ATTR_MSG);
  return found?.asString() ?? "";
}

/** Bytes of the request that stand between the status and the attributes: none, its header, or all of it. */
function echoedBytes({ type, flags, payload }: NetlinkMessage): number {
  if (type === NLMSG_DONE) return 0;
  if ((flags & NLM_F_CAPPED) !== 0 || payload.byteLength < STATUS_BYTES + HEADER_BYTES) return HEADER_BYTES;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return (view.getUint32(STATUS_BYTES, true) + 3) & ~3;
}
