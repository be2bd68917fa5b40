import type { NativeBytes } from "../native-bytes.ts";
import type { System } from "../system.ts";

/** Bytes of the `bpf_attr` union that we use; the kernel takes zeros beyond what a command has. */
const ATTR_BYTES = 128;

/**
 * One call's `bpf_attr`: fields at their offsets, and the memory that its pointers lead to, which lives as long as this
 * object.
 */
export class BpfAttr {
  private readonly attr: NativeBytes;
  private readonly held: NativeBytes[] = [];
  private readonly system: System;

  constructor(system: System) {
    this.system = system;
    this.attr = system.allocBytes(ATTR_BYTES);
  }

  u32(at: number, value: number): this {
    this.attr.view.setUint32(at, value, true);
    return this;
  }

  bytes(at: number, bytes: Uint8Array): this {
    this.attr.u8.set(bytes, at);
    return this;
  }

  /** A pointer to a copy of `bytes`. Returns the copy, which the kernel may write. */
  pointTo(at: number, bytes: Uint8Array): NativeBytes {
    const copy = this.room(at, bytes.length);
    copy.u8.set(bytes);
    return copy;
  }

  /** A pointer to a copy of the text, zero-terminated. */
  pointToText(at: number, text: string): this {
    this.pointTo(at, new TextEncoder().encode(`${text}\0`));
    return this;
  }

  /** A pointer to `size` zeroed bytes that the kernel may write. */
  room(at: number, size: number): NativeBytes {
    const memory = this.system.allocBytes(Math.max(size, 1));
    this.held.push(memory);
    this.attr.setPointer(at, memory.address);
    return memory;
  }

  getU32(at: number): number {
    return this.attr.view.getUint32(at, true);
  }

  /** The result of the call, or `-errno`. */
  call(command: number): number {
    return this.system.bpf(command, this.attr.u8);
  }
}
