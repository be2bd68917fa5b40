import { spawn } from "node:child_process";

export interface Outcome {
  readonly ok: boolean;
  readonly stdout: string;
  /** Both streams, in the order in which they came; ends with the reason when the command did not end by itself. */
  readonly output: string;
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly timeoutMs?: number;
  readonly env?: NodeJS.ProcessEnv;
}

const TIMEOUT_MS = 120_000;

/** Runs a program without input and collects what it prints. Never rejects: a program that cannot start is no `ok`. */
export function runCommand(command: string, args: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
  const { cwd, timeoutMs = TIMEOUT_MS, env = process.env } = options;
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"], timeout: timeoutMs });
    let stdout = "";
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      output += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.on("error", (error) => resolve({ ok: false, stdout, output: `${output}${command}: ${error.message}` }));
    child.on("close", (code, signal) => {
      const reason = signal === null ? "" : `\n${command}: ended by ${signal} (limit: ${timeoutMs} ms)`;
      resolve({ ok: code === 0, stdout, output: output + reason });
    });
  });
}

/** `Promise.all` over a list, with at most `limit` of them under way. */
export async function mapLimited<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const nth = next++;
      results[nth] = await work(items[nth]!);
    }
  };
  await Promise.all(Array.from({ length: limit }, lane));
  return results;
}
