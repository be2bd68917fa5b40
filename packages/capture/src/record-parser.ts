import type { CaptureInterface } from "./capture-interface.ts";
import type { PacketInfo } from "./packet-info.ts";

/** What one file format does for the reader. */
export interface RecordParser {
  /** Where in the queue's window the data of the packet found last starts, counted from the start of its record. */
  readonly dataOff: number;
  /** The size of that record. */
  readonly recordBytes: number;
  /** Where in the file the record or block starts that is being read. */
  readonly recordOffsetBytes: number;
  /** Interfaces of the current section. */
  readonly interfaces: readonly CaptureInterface[];
  /** Whether the input may end where it stands. */
  readonly isAtBoundary: boolean;
  /** True: `info` is filled and the whole record is in the queue's window. False: more input is needed. */
  next(info: PacketInfo): boolean;
}
