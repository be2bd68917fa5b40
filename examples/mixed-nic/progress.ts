import { createSpinner } from "nanospinner";

/** A line that says how far it is; only where a person looks at a terminal. */
export interface Progress {
  update(text: string): void;
  stop(): void;
}

const silent: Progress = { update: () => {}, stop: () => {} };

export function startProgress(text: string): Progress {
  const isWatched =
    process.stdout.isTTY && process.stderr.isTTY && !process.env["CI"] && process.env["TERM"] !== "dumb";
  if (!isWatched) return silent;
  const spinner = createSpinner(text, { stream: process.stderr }).start();
  return {
    update: (line) => void spinner.update(line),
    stop: () => void spinner.stop(),
  };
}
