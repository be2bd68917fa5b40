/*
 * What the umbrella takes from the runtime, spelled out structurally so that Node, Bun, Deno and browsers all fit.
 */

interface TimerHandle {
  unref?(): void;
}

interface Runtime {
  readonly performance: { now(): number };
  setTimeout(fn: () => void, delayMs: number): TimerHandle | number;
  clearTimeout(handle: TimerHandle | number): void;
  setImmediate?(fn: () => void): unknown;
  readonly console: { warn(message: string): void };
  readonly process?: { emitWarning?(message: string, options: { type: string; code: string }): void };
}

/** The global object, as far as netmem needs it. */
export function runtime(): Runtime {
  return globalThis as unknown as Runtime;
}
