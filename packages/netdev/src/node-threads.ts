/*
 * What a group of workers uses of Node.js: taken from the runtime when it is needed, and described by structure, so that
 * this package loads, and its types compile, where there is no Node.js.
 */

/** The end of a thread's messages, on the thread. */
export interface ThreadPort {
  postMessage(message: unknown): void;
  on(event: "message", listener: (message: unknown) => void): unknown;
}

/** A thread, on the one that started it. */
export interface Thread {
  on(event: "message" | "error" | "exit", listener: (value: unknown) => void): unknown;
  terminate(): Promise<unknown>;
}

interface WorkerThreads {
  readonly Worker: new (file: string, options: { readonly name: string; readonly workerData: unknown }) => Thread;
  readonly parentPort: ThreadPort | null;
  readonly workerData: unknown;
}

interface Runtime {
  readonly process: { getBuiltinModule(name: string): unknown; exit(code: number): never };
  readonly setImmediate: (run: () => void) => unknown;
}

const runtime = (): Runtime => globalThis as unknown as Runtime;

/** `node:worker_threads`. */
export function workerThreads(): WorkerThreads {
  return runtime().process.getBuiltinModule("node:worker_threads") as WorkerThreads;
}

/** Starts a thread that runs the module with that name. */
export function startThread(specifier: string, name: string, workerData: unknown): Thread {
  const { Worker } = workerThreads();
  const url = runtime().process.getBuiltinModule("node:url") as { fileURLToPath(url: string): string };
  // By name, because that finds the file wherever it was built.
  const meta = import.meta as unknown as { resolve(specifier: string): string };
  return new Worker(url.fileURLToPath(meta.resolve(specifier)), { name, workerData });
}

/** Lets the event loop of this thread turn once. */
export function turnEventLoop(): Promise<void> {
  return new Promise((resolve) => void runtime().setImmediate(() => resolve()));
}

/** Ends this thread, whatever timers it has. */
export function endThread(code: number): never {
  return runtime().process.exit(code);
}
