import type { DeviceFrag, DeviceLanding, DeviceMemory } from "../src/index.ts";
import { PAGE } from "./fixture.ts";

/** Memory whose landings end when the test says so, in any order; their bytes are there in the order of the commits. */
export class SlowMemory implements DeviceMemory {
  readonly kind = "slow";
  readonly isolation = "api";
  readonly alignBytes: number = 1;
  readonly landingBytes: number = 16 * PAGE;
  readonly readbackBytes = 0;
  readonly sizeBytes: number;
  readonly bytes: Uint8Array;
  staging = 4;
  /** Bytes of commits that are not there yet, oldest first. */
  private readonly unwritten: (() => void)[] = [];
  readonly commits: { offset: number; length: number; land: () => void; fail: () => void }[] = [];

  constructor(pages: number, alignBytes = 1) {
    this.sizeBytes = pages * PAGE;
    this.bytes = new Uint8Array(this.sizeBytes);
    this.alignBytes = alignBytes;
  }

  beginLanding(offset: number, lengthBytes: number): DeviceLanding | null {
    if (this.staging === 0) return null;
    this.staging--;
    const bytes = new Uint8Array(lengthBytes).fill(0xee);
    return {
      bytes,
      commit: (length) =>
        new Promise((resolve, reject) => {
          const end = (done: () => void) => (): void => {
            this.staging++;
            done();
          };
          const write = (): void => this.bytes.set(bytes.subarray(0, length), offset);
          this.unwritten.push(write);
          const land = end(() => {
            for (const one of this.unwritten.splice(0, this.unwritten.indexOf(write) + 1)) one();
            resolve();
          });
          const fail = end(() => {
            const at = this.unwritten.indexOf(write);
            if (at >= 0) this.unwritten.splice(at, 1);
            reject(new Error("lost"));
          });
          this.commits.push({ offset, length, land, fail });
        }),
      abort: () => void this.staging++,
    };
  }

  readback(_frags: readonly DeviceFrag[]): Promise<Uint8Array<ArrayBuffer>> {
    return Promise.reject(new Error("not here"));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
