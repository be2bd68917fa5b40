import { checkFrags, checkLandingRange, checkPages } from "./device-checks.ts";
import { deviceClosed } from "./device-errors.ts";
import type { DeviceFrag, DeviceIsolation, DeviceLanding, DeviceMemory } from "./device-memory.ts";
import { StagedLanding } from "./staged-landing.ts";

const DEFAULT_LANDING_BYTES = 2 ** 20;

export interface HostMemoryParams {
  /** A multiple of 4096, up to 4 GiB. */
  readonly sizeBytes: number;
  /** Most bytes of one landing. Default 1 MiB, or the size if that is less. */
  readonly landingBytes?: number;
}

/** Made by {@link createHostMemory}. */
export class HostMemory implements DeviceMemory {
  readonly kind = "host";
  readonly isolation: DeviceIsolation = "api";
  readonly alignBytes = 1;
  readonly sizeBytes: number;
  readonly landingBytes: number;
  isClosed = false;
  #bytes: Uint8Array<ArrayBuffer>;
  #readback = 0;

  /** @internal Use {@link createHostMemory}. */
  constructor(params: HostMemoryParams) {
    this.sizeBytes = checkPages("sizeBytes", params.sizeBytes);
    const landingBytes = params.landingBytes ?? Math.min(DEFAULT_LANDING_BYTES, this.sizeBytes);
    this.landingBytes = checkPages("landingBytes", landingBytes);
    this.#bytes = new Uint8Array(this.sizeBytes);
  }

  get readbackBytes(): number {
    return this.#readback;
  }

  beginLanding(offset: number, lengthBytes: number): DeviceLanding | null {
    checkLandingRange(this, offset, lengthBytes);
    if (this.isClosed) return null;
    const bytes = this.#bytes.subarray(offset, offset + lengthBytes);
    return new StagedLanding(bytes, lengthBytes, {
      // Straight into their place: the bytes are there already.
      land: () => (this.isClosed ? Promise.reject(deviceClosed(this.kind)) : null),
      drop: () => {},
    });
  }

  async readback(frags: readonly DeviceFrag[]): Promise<Uint8Array<ArrayBuffer>> {
    if (this.isClosed) throw deviceClosed(this.kind);
    const out = new Uint8Array(checkFrags(this, frags));
    let at = 0;
    for (const { offset, length } of frags) {
      out.set(this.#bytes.subarray(offset, offset + length), at);
      at += length;
    }
    this.#readback += at;
    return out;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.#bytes = new Uint8Array(0);
  }
}

/**
 * Device memory in this process, kept apart by its interface alone: for tests, and to see what the machinery costs
 * without a device. Landings are copies of the bytes into their place, visible at once.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL)
 */
export function createHostMemory(params: HostMemoryParams): HostMemory {
  return new HostMemory(params);
}
