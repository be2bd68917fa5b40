import { checkInt } from "@netmem/core";
import { checkFrags, checkLandingRange, checkPages } from "../device-checks.ts";
import { deviceClosed, deviceLost } from "../device-errors.ts";
import type { DeviceFrag, DeviceIsolation, DeviceLanding, DeviceMemory } from "../device-memory.ts";
import { StagedLanding } from "../staged-landing.ts";
import type { Answer, DevicePort, Request } from "./messages.ts";

const DEFAULT_LANDING_BYTES = 2 ** 18;
const DEFAULT_STAGING = 16;

export interface IsolatedMemoryParams {
  /** As the other side says. */
  readonly sizeBytes: number;
  /** Most bytes of one landing. Default 256 KiB, or the size if that is less. */
  readonly landingBytes?: number;
  /** Landings on their way at a time, 1 to 64. Each has a buffer of `landingBytes`. Default 16. */
  readonly stagingCount?: number;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Body<T> = T extends Request ? Omit<T, "id"> : never;

/** Made by {@link openIsolatedMemory}. */
export class IsolatedMemory implements DeviceMemory {
  readonly kind = "host-isolated";
  readonly isolation: DeviceIsolation = "language";
  readonly alignBytes = 1;
  readonly sizeBytes: number;
  readonly landingBytes: number;
  private readonly port: DevicePort;
  private readonly staging: ArrayBuffer[];
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;
  private readTotal = 0;
  private failure: Error | null = null;
  private onIdle: (() => void) | null = null;
  private closing: Promise<void> | null = null;

  /** @internal Use {@link openIsolatedMemory}. */
  constructor(port: DevicePort, params: IsolatedMemoryParams) {
    this.sizeBytes = checkPages("sizeBytes", params.sizeBytes);
    const landingBytes = params.landingBytes ?? Math.min(DEFAULT_LANDING_BYTES, this.sizeBytes);
    this.landingBytes = checkPages("landingBytes", landingBytes);
    const count = checkInt("stagingCount", params.stagingCount ?? DEFAULT_STAGING, 1, 64);
    this.staging = Array.from({ length: count }, () => new ArrayBuffer(landingBytes));
    this.port = port;
    port.addEventListener("message", ({ data }) => this.receive(data as Answer));
    port.start?.();
  }

  get readbackBytes(): number {
    return this.readTotal;
  }

  beginLanding(offset: number, lengthBytes: number): DeviceLanding | null {
    checkLandingRange(this, offset, lengthBytes);
    const staging = this.failure === null ? this.staging.pop() : undefined;
    if (staging === undefined) return null;
    return new StagedLanding(new Uint8Array(staging), lengthBytes, {
      land: (length) => this.land(staging, offset, length),
      drop: () => this.giveStaging(staging),
    });
  }

  async readback(frags: readonly DeviceFrag[]): Promise<Uint8Array<ArrayBuffer>> {
    const total = checkFrags(this, frags);
    const bytes = (await this.ask({ op: "read", frags: plain(frags) }, [])) as Uint8Array<ArrayBuffer>;
    this.readTotal += total;
    return bytes;
  }

  /**
   * Has the memory's thread run one of its kernels on `frags`, after everything committed so far; resolves with what the
   * kernel returned.
   * @throws `ERR_NETMEM_DEVICE_RANGE` (EFAULT), `ERR_NETMEM_DEVICE_CLOSED` (ENODEV), `ERR_NETMEM_DEVICE_LOST` (EIO)
   */
  async run(kernel: string, frags: readonly DeviceFrag[]): Promise<unknown> {
    checkFrags(this, frags);
    return this.ask({ op: "run", kernel, frags: plain(frags) }, []);
  }

  /** What is still waiting for an answer rejects: the thread that has the memory is gone. */
  lose(cause: unknown): void {
    this.failure ??= deviceLost(this.kind, cause);
    for (const { reject } of this.pending.values()) reject(this.failure);
    this.pending.clear();
    this.staging.length = 0;
    this.onIdle?.();
  }

  close(): Promise<void> {
    this.closing ??= this.finish();
    return this.closing;
  }

  private land(staging: ArrayBuffer, offset: number, length: number): Promise<void> {
    return this.ask({ op: "land", offset, length, staging }, [staging]).then(() => undefined);
  }

  private giveStaging(staging: ArrayBuffer): void {
    if (this.failure === null) this.staging.push(staging);
  }

  private ask(request: Body<Request>, transfer: readonly ArrayBuffer[]): Promise<unknown> {
    if (this.failure !== null) return Promise.reject(this.failure);
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.port.postMessage({ ...request, id }, transfer);
      this.pending.set(id, { resolve, reject });
    });
  }

  private async finish(): Promise<void> {
    this.failure ??= deviceClosed(this.kind);
    this.staging.length = 0;
    if (this.pending.size > 0) await new Promise<void>((resolve) => (this.onIdle = resolve));
    this.port.close();
  }

  private receive({ id, value, staging, error }: Answer): void {
    if (staging !== undefined) this.giveStaging(staging);
    const asked = this.pending.get(id);
    this.pending.delete(id);
    if (error === undefined) asked?.resolve(value);
    else asked?.reject(deviceLost(this.kind, error));
    if (this.pending.size === 0) this.onIdle?.();
  }
}

/** What a caller's fragments carry beside offset and length may be nothing that can be sent. */
function plain(frags: readonly DeviceFrag[]): DeviceFrag[] {
  return frags.map(({ offset, length }) => ({ offset, length }));
}

/**
 * Device memory that another thread owns: its bytes are in that thread's heap, and what lands is moved there. `port` is
 * one end of a `MessageChannel` whose other end that thread gave to `serveIsolatedMemory`. When the thread ends, call
 * `lose`: nothing else tells.
 *
 * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL)
 */
export function openIsolatedMemory(port: DevicePort, params: IsolatedMemoryParams): IsolatedMemory {
  return new IsolatedMemory(port, params);
}
