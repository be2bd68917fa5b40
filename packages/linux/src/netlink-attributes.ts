/*
 * Netlink's attributes: { u16 length with this header, u16 type, payload, padding to 4 }, in the machine's byte order,
 * which is little-endian on every processor that we support.
 */
import { NetmemError } from "@netmem/core";

const HEADER_BYTES = 4;
const TYPE_MASK = 0x3fff;
const NLA_F_NESTED = 0x8000;

const align4 = (bytes: number): number => (bytes + 3) & ~3;

/** Builds the payload of a netlink message: a fixed header, then attributes. Grows as needed. */
export class NetlinkWriter {
  private bytes = new Uint8Array(256);
  private view = new DataView(this.bytes.buffer);
  private end = 0;

  /** The payload so far, a copy. */
  finish(): Uint8Array {
    return this.bytes.slice(0, this.end);
  }

  /** Appends bytes as they are, padded to 4: the fixed header of the message. */
  raw(bytes: Uint8Array): this {
    const at = this.take(align4(bytes.byteLength));
    this.bytes.set(bytes, at);
    return this;
  }

  bytesAttr(type: number, payload: Uint8Array): this {
    const at = this.header(type, payload.byteLength);
    this.bytes.set(payload, at);
    return this;
  }

  u8(type: number, value: number): this {
    const at = this.header(type, 1);
    this.view.setUint8(at, value);
    return this;
  }

  u16(type: number, value: number): this {
    const at = this.header(type, 2);
    this.view.setUint16(at, value, true);
    return this;
  }

  u32(type: number, value: number): this {
    const at = this.header(type, 4);
    this.view.setUint32(at, value, true);
    return this;
  }

  /** A NUL-terminated string. */
  string(type: number, value: string): this {
    return this.bytesAttr(type, new TextEncoder().encode(`${value}\0`));
  }

  /** An attribute whose payload `fill` writes: more attributes, after a fixed header if the protocol has one. */
  nested(type: number, fill: (inside: this) => void): this {
    const headerAt = this.header(type | NLA_F_NESTED, 0) - HEADER_BYTES;
    fill(this);
    this.view.setUint16(headerAt, this.end - headerAt, true);
    return this;
  }

  /** Writes an attribute's header; returns where its payload of `payloadBytes` begins. */
  private header(type: number, payloadBytes: number): number {
    const at = this.take(align4(HEADER_BYTES + payloadBytes));
    this.view.setUint16(at, HEADER_BYTES + payloadBytes, true);
    this.view.setUint16(at + 2, type, true);
    return at + HEADER_BYTES;
  }

  private take(bytes: number): number {
    const at = this.end;
    if (at + bytes > this.bytes.byteLength) this.grow(at + bytes);
    this.end = at + bytes;
    return at;
  }

  private grow(needed: number): void {
    const larger = new Uint8Array(Math.max(needed, this.bytes.byteLength * 2));
    larger.set(this.bytes);
    this.bytes = larger;
    this.view = new DataView(larger.buffer);
  }
}

/** One attribute that was received. Reading more bytes than it has throws `ERR_NETMEM_NETLINK_MALFORMED`. */
export class NetlinkAttr {
  readonly type: number;
  readonly payload: Uint8Array;

  constructor(type: number, payload: Uint8Array) {
    this.type = type;
    this.payload = payload;
  }

  asU8(): number {
    return this.viewOf(1).getUint8(0);
  }

  asU16(): number {
    return this.viewOf(2).getUint16(0, true);
  }

  asU32(): number {
    return this.viewOf(4).getUint32(0, true);
  }

  /** A `u64`, or a netlink `uint`, which has 4 or 8 bytes. Exact up to 2^53. */
  asUint(): number {
    return this.payload.byteLength === 4 ? this.asU32() : Number(this.viewOf(8).getBigUint64(0, true));
  }

  /** The text up to the first NUL. */
  asString(): string {
    const end = this.payload.indexOf(0);
    return new TextDecoder().decode(this.payload.subarray(0, end < 0 ? undefined : end));
  }

  asNested(): NetlinkAttr[] {
    return readAttributes(this.payload);
  }

  private viewOf(bytes: number): DataView {
    if (this.payload.byteLength < bytes) failMalformed(`attribute ${this.type} has fewer than ${bytes} bytes`);
    return new DataView(this.payload.buffer, this.payload.byteOffset, bytes);
  }
}

/**
 * The attributes in `bytes`, which are views of it.
 * @throws `ERR_NETMEM_NETLINK_MALFORMED` (EBADMSG) for a length that leaves it.
 */
export function readAttributes(bytes: Uint8Array, from = 0): NetlinkAttr[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: NetlinkAttr[] = [];
  let at = from;
  while (at + HEADER_BYTES <= bytes.byteLength) {
    const length = view.getUint16(at, true);
    if (length < HEADER_BYTES || at + length > bytes.byteLength)
      failMalformed(`an attribute of ${length} bytes at ${at}`);
    const type = view.getUint16(at + 2, true) & TYPE_MASK;
    found.push(new NetlinkAttr(type, bytes.subarray(at + HEADER_BYTES, at + length)));
    at += align4(length);
  }
  return found;
}

/** @internal Throws `ERR_NETMEM_NETLINK_MALFORMED` (EBADMSG). */
export function failMalformed(what: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_NETLINK_MALFORMED",
    errno: "EBADMSG",
    reason: `a netlink message cannot be read: ${what}`,
    remedy: "Report it with the kernel's version (uname -r).",
    param: "message",
  });
}
