/**
 * Bytes with an address that stays: for structures that hold pointers to others. The memory lies outside V8's heap, so
 * it never moves; it lives as long as this object is referenced, which the caller must see to until the kernel is done.
 */
export class NativeBytes {
  readonly u8: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  /** Address of the first byte, below 2^47. */
  readonly address: number;

  /** @internal Use {@link System.allocBytes}. */
  constructor(u8: Uint8Array<ArrayBuffer>, address: number) {
    this.u8 = u8;
    this.view = new DataView(u8.buffer);
    this.address = address;
  }

  get byteLength(): number {
    return this.u8.byteLength;
  }

  /** Writes a pointer, or any integer up to 2^53. */
  setPointer(at: number, address: number): void {
    this.view.setBigUint64(at, BigInt(address), true);
  }
}
