import { checkWord, createAtomicsModel } from "./atomics-model.ts";
import { type Operation, type Response } from "./operation.ts";
import { UnsupportedAccessError } from "./unsupported-access-error.ts";

/** Carries out, or records, what the code does. It may throw. */
export interface OperationSink {
  perform(operation: Operation): Response;
}

/** Properties that say nothing of the contents. */
const HARMLESS: ReadonlySet<string> = new Set(["length", "constructor", "BYTES_PER_ELEMENT"]);

const NO_SINK: OperationSink = {
  perform(): Response {
    throw new UnsupportedAccessError("the shared words were used outside of setup and threads");
  },
};

/**
 * Shared words that ordinary code can be run over: `i32` looks like an Int32Array, and while {@link ModelledWords.run}
 * runs, every `i32[at]` and every `Atomics` call on it goes to a sink.
 */
export class ModelledWords {
  readonly i32: Int32Array;
  readonly #atomics: typeof Atomics;
  #sink: OperationSink = NO_SINK;

  constructor(words: number) {
    const perform = (operation: Operation): Response => this.#sink.perform(operation);
    this.i32 = createWords(words, perform);
    this.#atomics = createAtomicsModel(this.i32, perform);
  }

  /** Runs synchronous code. Until it returns, the global `Atomics` is the model's: real code finds it under that name. */
  run<Result>(sink: OperationSink, code: () => Result): Result {
    const previousSink = this.#sink;
    const realAtomics = globalThis.Atomics;
    this.#sink = sink;
    globalThis.Atomics = this.#atomics;
    try {
      return code();
    } finally {
      globalThis.Atomics = realAtomics;
      this.#sink = previousSink;
    }
  }
}

function createWords(words: number, perform: (operation: Operation) => Response): Int32Array {
  const i32: Int32Array = new Proxy(new Int32Array(words), {
    get(target, key) {
      if (typeof key === "symbol" || HARMLESS.has(key)) return Reflect.get(target, key);
      return perform({ kind: "load", at: wordOf(target, key), value: 0, expected: 0 });
    },
    set(target, key, value) {
      perform({ kind: "store", at: wordOf(target, key), value: Number(value) | 0, expected: 0 });
      return true;
    },
  });
  return i32;
}

function wordOf(target: Int32Array, key: string | symbol): number {
  const at = Number(key.toString());
  if (Number.isNaN(at) && key !== "NaN" && key !== "undefined") {
    throw new UnsupportedAccessError(`Int32Array.${key.toString()} is not modelled: access the words one by one`);
  }
  return checkWord(target, at);
}
