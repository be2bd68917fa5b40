import { type FailureKind } from "./verdict.ts";

/** A schedule that goes wrong. */
export interface InterleaveFailure {
  readonly kind: FailureKind;
  readonly message: string;
  /** For `replaySchedule`. */
  readonly schedule: string;
  /** One line per step: thread, operation, word, values. */
  readonly trace: readonly string[];
}

/** The failure as text: what is wrong, every step, and the line to replay it with. */
export function formatFailure({ kind, message, schedule, trace }: InterleaveFailure): string {
  const steps = trace.map((line, k) => `${`${k + 1}`.padStart(4)}  ${line}`);
  return [`${kind}: ${message}`, ...steps, `replay: ${schedule}`].join("\n");
}

/** What `verifyInterleavings` throws; its message is the formatted failure. */
export class InterleaveError extends Error {
  override readonly name: string = "InterleaveError";
  /** Null where the program was not explored to the end. */
  readonly failure: InterleaveFailure | null;

  constructor(message: string, failure: InterleaveFailure | null) {
    super(message);
    this.failure = failure;
  }
}
