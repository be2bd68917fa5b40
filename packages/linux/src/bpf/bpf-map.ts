import { checkInt } from "@netmem/core";
import { Errno } from "../errno.ts";
import type { System } from "../system.ts";
import { BpfCommand, bpfName, type BpfMapType } from "./bpf-abi.ts";
import { BpfAttr } from "./bpf-attr.ts";

const KEY_BYTES = 4;
const MAX_ENTRIES = 2 ** 20;

export interface BpfMapParams {
  readonly type: BpfMapType;
  /** Keys are 0 to maxEntries - 1. */
  readonly maxEntries: number;
  /** Bytes of a value, 4 unless said otherwise; an XSKMAP and a DEVMAP have 4. */
  readonly valueBytes?: number;
  /** For tools that list maps; what the kernel does not take as a name is replaced by `_`. */
  readonly name?: string;
}

/**
 * A map of the kernel with 32-bit keys. It lives as long as somebody has it: this object until {@link close}, programs
 * that use it, a pin in a bpf file system. Control path.
 */
export class BpfMap {
  readonly fd: number;
  readonly valueBytes: number;
  private readonly system: System;
  private isOpen = true;

  /** Takes over `fd`. Use {@link createBpfMap} or {@link openPinnedMap}, or pass a descriptor that you received. */
  constructor(system: System, fd: number, valueBytes = 4) {
    this.system = system;
    this.fd = fd;
    this.valueBytes = valueBytes;
  }

  /**
   * Sets the value of `key` to a 32-bit number: in an XSKMAP the descriptor of a bound AF_XDP socket, in a DEVMAP the
   * index of an interface.
   * @throws {@link SystemCallError}: E2BIG for a key out of range, EBADF or EOPNOTSUPP for a descriptor of something else.
   */
  set(key: number, value: number): void {
    this.setBytes(key, new Uint8Array(Uint32Array.of(value).buffer));
  }

  /** Sets the value of `key`, {@link valueBytes} bytes. @throws {@link SystemCallError} */
  setBytes(key: number, value: Uint8Array): void {
    checkInt("value.length", value.length, this.valueBytes, this.valueBytes);
    const attr = this.element(key);
    attr.pointTo(16, value);
    this.system.check("bpf MAP_UPDATE_ELEM", attr.call(BpfCommand.MapUpdateElem), { param: "key", value: key });
  }

  /**
   * A copy of the value of `key`, null when there is none.
   * @throws {@link SystemCallError}: EOPNOTSUPP for an XSKMAP, whose values only programs can read.
   */
  get(key: number): Uint8Array | null {
    const attr = this.element(key);
    const value = attr.room(16, this.valueBytes);
    const result = attr.call(BpfCommand.MapLookupElem);
    if (result === -Errno.ENOENT) return null;
    this.system.check("bpf MAP_LOOKUP_ELEM", result, { param: "key", value: key });
    return value.u8.slice();
  }

  /** Removes `key`. False when it was not there. @throws {@link SystemCallError}: EINVAL for an array, which keeps all keys. */
  delete(key: number): boolean {
    const result = this.element(key).call(BpfCommand.MapDeleteElem);
    if (result === -Errno.ENOENT) return false;
    this.system.check("bpf MAP_DELETE_ELEM", result, { param: "key", value: key });
    return true;
  }

  /** Keeps the map alive under a path of a bpf file system. @throws {@link SystemCallError} */
  pin(path: string): void {
    const attr = new BpfAttr(this.system).pointToText(0, path).u32(8, this.openFd);
    this.system.check("bpf OBJ_PIN", attr.call(BpfCommand.ObjPin), { param: "path", value: path });
  }

  /** Gives the descriptor back. Once is enough, twice does no harm. */
  close(): void {
    if (this.isOpen) this.system.close(this.fd);
    this.isOpen = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** The kernel's EBADF for a map that is closed: its number may be another map's by now. */
  private get openFd(): number {
    return this.isOpen ? this.fd : -1;
  }

  private element(key: number): BpfAttr {
    const attr = new BpfAttr(this.system).u32(0, this.openFd);
    attr.room(8, KEY_BYTES).view.setUint32(0, checkInt("key", key, 0, 2 ** 32 - 1), true);
    return attr;
  }
}

/** @throws {@link SystemCallError}: EPERM without CAP_BPF (and CAP_NET_ADMIN for an XSKMAP) */
export function createBpfMap(system: System, params: BpfMapParams): BpfMap {
  const valueBytes = checkInt("valueBytes", params.valueBytes ?? 4, 1, 65536);
  const attr = new BpfAttr(system)
    .u32(0, params.type)
    .u32(4, KEY_BYTES)
    .u32(8, valueBytes)
    .u32(12, checkInt("maxEntries", params.maxEntries, 1, MAX_ENTRIES))
    .bytes(28, bpfName(params.name ?? "netmem"));
  const fd = system.check("bpf MAP_CREATE", attr.call(BpfCommand.MapCreate), { action: "create a bpf map" });
  return new BpfMap(system, fd, valueBytes);
}

/** The map that somebody pinned at `path`. @throws {@link SystemCallError}: ENOENT, EACCES */
export function openPinnedMap(system: System, path: string, valueBytes = 4): BpfMap {
  const attr = new BpfAttr(system).pointToText(0, path);
  const fd = system.check("bpf OBJ_GET", attr.call(BpfCommand.ObjGet), { param: "path", value: path });
  return new BpfMap(system, fd, valueBytes);
}
