/** A range of the device, in bytes. */
export interface DeviceFrag {
  readonly offset: number;
  readonly length: number;
}

/**
 * How the bytes are kept from the thread that handles packets, weakest first.
 *
 * * `api`: they lie in this process; only this interface keeps them apart.
 * * `descriptor`: this thread has a descriptor that the operating system lets it write and not read.
 * * `language`: they belong to another thread's heap; no JavaScript of this one can name them.
 * * `hardware`: another device's memory.
 */
export type DeviceIsolation = "api" | "descriptor" | "language" | "hardware";

/**
 * Memory that packets land in and that this thread does not read: a GPU's, a file's, another thread's.
 *
 * Landings become visible in the order of their commits, and a readback sees every commit that was called before it.
 * Everything runs on the thread that made the memory. Whoever made it closes it, after the last binding is gone.
 */
export interface DeviceMemory {
  /** What it is, for reports: "host", "file", "webgpu". */
  readonly kind: string;
  /** A multiple of 4096. */
  readonly sizeBytes: number;
  /**
   * Offsets of landings and readbacks are multiples of this: a power of two up to 4096. Lengths may be any; what a
   * length is short of a multiple is the memory's to overwrite.
   */
  readonly alignBytes: number;
  /** Most bytes of one landing: a multiple of 4096. */
  readonly landingBytes: number;
  readonly isolation: DeviceIsolation;
  /** Bytes ever read back: possible, explicit, and counted. */
  readonly readbackBytes: number;
  /**
   * Staging for `lengthBytes` bytes that will land at byte `offset`. Null when there is none at the moment, or the memory
   * was closed: the caller drops what it has.
   * @throws `ERR_NETMEM_DEVICE_RANGE` (EFAULT)
   */
  beginLanding(offset: number, lengthBytes: number): DeviceLanding | null;
  /**
   * A copy of `frags`, one behind the other.
   * @throws `ERR_NETMEM_DEVICE_RANGE` (EFAULT), `ERR_NETMEM_DEVICE_CLOSED` (ENODEV), `ERR_NETMEM_DEVICE_LOST` (EIO)
   */
  readback(frags: readonly DeviceFrag[]): Promise<Uint8Array<ArrayBuffer>>;
  /** Waits for committed landings. Those that were only begun are dead. A second time does nothing. */
  close(): Promise<void>;
}

/** One contiguous range of a device on its way there. Ended once, by {@link commit} or {@link abort}. */
export interface DeviceLanding {
  /**
   * Byte 0 lands at the landing's offset; at least as long as was asked for, contents undefined. It may be the device's
   * bytes themselves: what was written here and not committed is undefined there. Not to be touched after commit or abort,
   * nor to be given to the operating system.
   */
  readonly bytes: Uint8Array;
  /**
   * Lands the first `lengthBytes` bytes; resolves when they are visible to the device. Null: they are already.
   * @throws `ERR_NETMEM_LANDING_USED` (EINVAL) the second time, `ERR_NETMEM_DEVICE_RANGE` (EFAULT) for more than was asked
   * for. Rejects with `ERR_NETMEM_DEVICE_LOST` (EIO) or `ERR_NETMEM_DEVICE_CLOSED` (ENODEV): the range is undefined then.
   */
  commit(lengthBytes: number): Promise<void> | null;
  /** Nothing lands. @throws `ERR_NETMEM_LANDING_USED` (EINVAL) after commit or abort. */
  abort(): void;
}
