import { failDeviceRange, failLandingUsed } from "./device-errors.ts";
import type { DeviceLanding } from "./device-memory.ts";

/** What a memory does with the bytes of a landing: one of the two, once. */
export interface LandingEnd {
  /** Lands the first `lengthBytes` bytes: 0 to what was asked for. See {@link DeviceLanding.commit}. */
  readonly land: (lengthBytes: number) => Promise<void> | null;
  /** Nothing lands. */
  readonly drop: () => void;
}

/** A landing of any memory: it is ended once, with a length that was asked for. */
export class StagedLanding implements DeviceLanding {
  readonly bytes: Uint8Array;
  private readonly askedBytes: number;
  private readonly end: LandingEnd;
  private isUsed = false;

  constructor(bytes: Uint8Array, askedBytes: number, end: LandingEnd) {
    this.bytes = bytes;
    this.askedBytes = askedBytes;
    this.end = end;
  }

  commit(lengthBytes: number): Promise<void> | null {
    this.checkUnused();
    const isRight = Number.isInteger(lengthBytes) && lengthBytes >= 0 && lengthBytes <= this.askedBytes;
    if (!isRight) failDeviceRange("lengthBytes", lengthBytes, this.askedBytes);
    this.isUsed = true;
    return this.end.land(lengthBytes);
  }

  abort(): void {
    this.checkUnused();
    this.isUsed = true;
    this.end.drop();
  }

  private checkUnused(): void {
    if (this.isUsed) failLandingUsed();
  }
}
