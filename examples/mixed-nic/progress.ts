import { clearLine, cursorTo } from "node:readline";
import type { WriteStream } from "node:tty";

const MIN_INTERVAL_MS = 50;

/** A line that says how far it is; only where a person looks at a terminal. */
export interface Progress {
  update(text: string): void;
  /** Removes the line. */
  stop(): void;
}

const silent: Progress = { update: () => {}, stop: () => {} };

/** Whether `stream` is a terminal that somebody watches. */
function isWatched(stream: WriteStream, env: NodeJS.ProcessEnv): boolean {
  return stream.isTTY && !env["CI"] && env["TERM"] !== "dumb";
}

/** Writes to one line of `stream`, at most twenty times a second. */
export function startProgress(stream: WriteStream, env: NodeJS.ProcessEnv): Progress {
  if (!isWatched(stream, env)) return silent;
  let lastMs = Number.NEGATIVE_INFINITY;
  let isShown = false;
  const clear = (): void => {
    cursorTo(stream, 0);
    clearLine(stream, 0);
  };
  return {
    update: (text) => {
      const now = performance.now();
      if (now - lastMs < MIN_INTERVAL_MS) return;
      lastMs = now;
      clear();
      // A pseudo terminal without a size says 0 columns.
      stream.write(text.slice(0, (stream.columns || 80) - 1));
      isShown = true;
    },
    stop: () => {
      if (isShown) clear();
      isShown = false;
    },
  };
}
