import type { Host } from "@netmem/core";

/** Thrown in the place of a store: the thread is no more. */
export class Death extends Error {}

/** A view of a host whose thread dies instead of making its n-th store. */
export interface MortalHost {
  readonly host: Host;
  /** Stores until death from now on; Infinity for a long life. */
  fuse: number;
}

type Method = (words: Int32Array, ...args: number[]) => unknown;

const WRITES: readonly string[] = ["add", "and", "compareExchange", "exchange", "or", "store", "sub", "xor"];

/**
 * Code that gets `host` runs on the same arena; while {@link asMortal} runs it, every store, plain or atomic, burns the
 * fuse. The object is an ordinary one on the host's prototype chain, so all else is the host's.
 */
export function createMortalHost(real: Host): MortalHost {
  const mortal: { host: Host; fuse: number } = { host: real, fuse: Infinity };
  const i32 = new Proxy(real.i32, {
    get(target, key) {
      if (key === "copyWithin") return copyWithin;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? (value as () => unknown).bind(target) : value;
    },
    set(target, key, value) {
      burn(mortal);
      return Reflect.set(target, key, value, target);
    },
  });
  /** Word by word, as the thread may die between any two. */
  function copyWithin(to: number, from: number, end: number): Int32Array {
    for (let n = 0; from + n < end; n++) i32[to + n] = i32[from + n]!;
    return i32;
  }
  targets.set(i32, { words: real.i32, mortal });
  mortal.host = Object.create(real, { i32: { value: i32 } }) as Host;
  return mortal;
}

const targets = new WeakMap<Int32Array, { readonly words: Int32Array; readonly mortal: { fuse: number } }>();

function burn(mortal: { fuse: number }): void {
  if (mortal.fuse-- <= 0) throw new Death("in the middle of an operation");
}

/** Runs `code` with an `Atomics` that knows mortal words. True: it ran to its end; false: it died. */
export function asMortal(code: () => void): boolean {
  const real = globalThis.Atomics;
  const entries = Object.getOwnPropertyNames(real).map((name) => {
    const method = Reflect.get(real, name) as Method;
    const wrapped: Method = (words, ...args) => {
      const target = targets.get(words);
      if (target === undefined) return method(words, ...args);
      if (WRITES.includes(name)) burn(target.mortal);
      return method(target.words, ...args);
    };
    return [name, wrapped] as const;
  });
  globalThis.Atomics = Object.fromEntries(entries) as unknown as typeof Atomics;
  try {
    code();
    return true;
  } catch (error) {
    if (error instanceof Death) return false;
    throw error;
  } finally {
    globalThis.Atomics = real;
  }
}
