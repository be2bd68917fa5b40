import { type OperationSink } from "./modelled-words.ts";
import { type Operation, type Response, valueWritten } from "./operation.ts";
import { UnsupportedAccessError } from "./unsupported-access-error.ts";

/** Carries operations out at once, as one thread alone: for the setup of a program. */
export class DirectWords implements OperationSink {
  readonly i32: Int32Array;

  constructor(words: number) {
    this.i32 = new Int32Array(words);
  }

  perform(operation: Operation): Response {
    if (operation.kind === "wait") throw new UnsupportedAccessError("setup waits, and no thread runs yet to wake it");
    if (operation.kind === "pause") return undefined;
    if (operation.kind === "notify") return 0;
    const old = this.i32[operation.at]!;
    this.i32[operation.at] = valueWritten(operation, old) ?? old;
    return old;
  }
}
