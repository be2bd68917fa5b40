import { CaptureErrorCode } from "./capture-error.ts";
import { CaptureInterface } from "./capture-interface.ts";
import { DEFAULT_TS_RESOLUTION, MIN_INTERFACE_BYTES, OptionCode, padTo4 } from "./pcapng-format.ts";
import type { ReaderState } from "./reader-state.ts";
import { decodeUtf8 } from "./utf8.ts";

const MAX_NAME_BYTES = 256;
const OPTIONS_OFF = MIN_INTERFACE_BYTES - 4;

/** Reads an interface description block that lies whole at the base of the queue's window. */
export function readInterface(state: ReaderState, blockBytes: number, littleEndian: boolean): CaptureInterface {
  const queue = state.queue;
  if (blockBytes < MIN_INTERFACE_BYTES) {
    state.fail(CaptureErrorCode.corrupt, `an interface block of ${blockBytes} bytes is too short`, queue.offsetBytes);
  }
  const options = new InterfaceOptions(state, littleEndian);
  options.readAll(OPTIONS_OFF, blockBytes - 4);
  return new CaptureInterface(
    queue.view.getUint16(queue.base + 8, littleEndian),
    queue.view.getUint32(queue.base + 12, littleEndian),
    options.name,
    options.tsResolution,
    options.tsOffsetSec,
  );
}

/** Walks the options of one interface and keeps those that matter for reading. Offsets count from the block's start. */
class InterfaceOptions {
  name = "";
  tsResolution: number = DEFAULT_TS_RESOLUTION;
  tsOffsetSec = 0;
  readonly #state: ReaderState;
  readonly #littleEndian: boolean;

  constructor(state: ReaderState, littleEndian: boolean) {
    this.#state = state;
    this.#littleEndian = littleEndian;
  }

  readAll(startOff: number, endOff: number): void {
    const { view, base } = this.#state.queue;
    for (let at = startOff; at < endOff;) {
      if (at + 4 > endOff) this.#fail("an option header is cut by the end of its block", at);
      const code = view.getUint16(base + at, this.#littleEndian);
      const lenBytes = view.getUint16(base + at + 2, this.#littleEndian);
      if (code === OptionCode.end) return;
      if (at + 4 + padTo4(lenBytes) > endOff) this.#fail(`option ${code} is longer than its block`, at);
      this.#readOne(code, at + 4, lenBytes);
      at += 4 + padTo4(lenBytes);
    }
  }

  #readOne(code: number, off: number, lenBytes: number): void {
    const { view, base } = this.#state.queue;
    if (code === OptionCode.ifName) {
      this.name = decodeUtf8(view, base + off, Math.min(lenBytes, MAX_NAME_BYTES));
    } else if (code === OptionCode.ifTsResol) {
      if (lenBytes !== 1) this.#fail(`if_tsresol has 1 byte, not ${lenBytes}`, off - 4);
      this.tsResolution = view.getUint8(base + off);
    } else if (code === OptionCode.ifTsOffset) {
      if (lenBytes !== 8) this.#fail(`if_tsoffset has 8 bytes, not ${lenBytes}`, off - 4);
      this.tsOffsetSec = Number(view.getBigInt64(base + off, this.#littleEndian));
      if (!Number.isSafeInteger(this.tsOffsetSec)) this.#fail("if_tsoffset is out of any calendar", off - 4);
    }
  }

  #fail(reason: string, off: number): never {
    return this.#state.fail(CaptureErrorCode.corrupt, reason, this.#state.queue.offsetBytes + off);
  }
}
