import { fileURLToPath } from "node:url";
import { describeInputError } from "./input-error.ts";
import { makeMixedNic } from "./mixed-nic.ts";
import { HELP, type Options, parseOptions, UsageError } from "./options.ts";
import { startProgress } from "./progress.ts";
import { Replay } from "./replay.ts";
import { formatTable, makeReport, type Report } from "./report.ts";

const DEFAULT_PCAP = fileURLToPath(new URL("capture/mixed.pcap", import.meta.url));
const EXIT_WRONG = 1;
const EXIT_BAD_INPUT = 2;

function complain(line: string, exitCode: number): void {
  process.stderr.write(`mixed-nic: ${line}\n`);
  process.exitCode ??= exitCode;
}

/** Replays the file as often as asked; a file that cannot be read ends it. */
async function replayAll(replay: Replay, options: Options): Promise<void> {
  const progress = startProgress(process.stderr, process.env);
  try {
    for (let loop = 1; loop <= options.loops; loop++) {
      await replay.run(options.pcap, (packets) =>
        progress.update(`replaying, round ${loop} of ${options.loops}, ${packets} packets`),
      );
    }
  } catch (error) {
    progress.stop();
    const line = describeInputError(options.pcap, error);
    if (line === null) throw error;
    complain(line, EXIT_BAD_INPUT);
  } finally {
    progress.stop();
  }
}

/** Says everything that is not as it should be. */
function judge(replay: Replay, report: Report, pagesMissing: number): void {
  const { verifier } = replay;
  const left = report.queues.reduce((sum, queue) => sum + queue.inFlight, 0);
  if (replay.skipped > 0) process.stderr.write(`mixed-nic: ${replay.skipped} packets have a length no NIC takes\n`);
  if (verifier.crcErrors > 0) complain(`${verifier.crcErrors} packets arrived wrong`, EXIT_WRONG);
  if (replay.dropped + verifier.lost > 0) complain(`${replay.dropped + verifier.lost} packets were lost`, EXIT_WRONG);
  if (left + pagesMissing !== 0) complain(`${left} buffers in flight, ${pagesMissing} pages missing`, EXIT_WRONG);
}

async function run(options: Options): Promise<void> {
  const mixed = makeMixedNic({ dma: options.dma });
  const replay = new Replay(mixed);
  // Once through start and stop, so that control structures which stay allocated do not look like a leak.
  mixed.device.open();
  mixed.device.close();
  const freePages = mixed.host.pages.freePageCount();
  mixed.device.open();
  await replayAll(replay, options);
  mixed.device.close();
  const report = makeReport(mixed, replay);
  process.stdout.write(options.isJson ? `${JSON.stringify(report, null, 2)}\n` : formatTable(report));
  judge(replay, report, freePages - mixed.host.pages.freePageCount());
}

async function main(): Promise<void> {
  try {
    const options = parseOptions(process.argv.slice(2), DEFAULT_PCAP);
    if (options.isHelp) process.stdout.write(HELP);
    else await run(options);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    complain(`${error.message} (try --help)`, EXIT_BAD_INPUT);
  }
}

// A reader that goes away, as in `| head`, is no error of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});
await main();
