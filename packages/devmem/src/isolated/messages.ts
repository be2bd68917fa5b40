import type { DeviceFrag } from "../device-memory.ts";

/** A `MessagePort`, structurally: Node's and the browsers'. */
export interface DevicePort {
  postMessage(message: unknown, transfer?: readonly unknown[]): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  /** Messages wait until it is called. */
  start?(): void;
  close(): void;
}

/** What the user of the memory asks its owner. `id` comes back with the answer. */
export type Request =
  | {
      readonly op: "land";
      readonly id: number;
      readonly offset: number;
      readonly length: number;
      readonly staging: ArrayBuffer;
    }
  | { readonly op: "read"; readonly id: number; readonly frags: readonly DeviceFrag[] }
  | { readonly op: "run"; readonly id: number; readonly kernel: string; readonly frags: readonly DeviceFrag[] };

/** A staging buffer comes back from a landing, whatever became of it. */
export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly staging?: ArrayBuffer;
  readonly error?: string;
}
