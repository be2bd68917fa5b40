import { isNetmemError } from "@netmem/core";
import { type AfXdpOptions, HELP, parseOptions, UsageError } from "./options.ts";

/** Runs an example: parses the command line, turns errors into one line and an exit code. */
export async function main(example: (options: AfXdpOptions) => Promise<boolean>): Promise<void> {
  try {
    const options = parseOptions(process.argv.slice(2));
    if (options === null) process.stdout.write(HELP);
    else process.exitCode = (await example(options)) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof UsageError) && !isNetmemError(error)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}
