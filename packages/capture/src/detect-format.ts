import { CaptureErrorCode } from "./capture-error.ts";
import { PCAP_MAGIC_MODIFIED, PCAP_MAGIC_NS, PCAP_MAGIC_US } from "./pcap-format.ts";
import { PcapParser } from "./pcap-parser.ts";
import { BlockType } from "./pcapng-format.ts";
import { PcapngParser } from "./pcapng-parser.ts";
import type { ReaderState } from "./reader-state.ts";
import type { RecordParser } from "./record-parser.ts";

const GZIP_MAGIC = 0x1f8b;
const ZSTD_MAGIC = 0x28b52ffd;

/** Chooses the parser by the first four bytes, which lie in the queue's window. They are not consumed. */
export function detectFormat(state: ReaderState): RecordParser {
  const { view, base } = state.queue;
  const bigEndian = view.getUint32(base, false);
  const littleEndian = view.getUint32(base, true);
  if (bigEndian === BlockType.section) return new PcapngParser(state);
  if (bigEndian === PCAP_MAGIC_US || bigEndian === PCAP_MAGIC_NS) {
    return new PcapParser(state, false, bigEndian === PCAP_MAGIC_NS);
  }
  if (littleEndian === PCAP_MAGIC_US || littleEndian === PCAP_MAGIC_NS) {
    return new PcapParser(state, true, littleEndian === PCAP_MAGIC_NS);
  }
  if (bigEndian === PCAP_MAGIC_MODIFIED || littleEndian === PCAP_MAGIC_MODIFIED) {
    return state.fail(CaptureErrorCode.unsupported, "the modified pcap format of 1999 is not read", 0);
  }
  if (bigEndian >>> 16 === GZIP_MAGIC || bigEndian === ZSTD_MAGIC) {
    return state.fail(CaptureErrorCode.notACapture, "the file is compressed: decompress it first", 0);
  }
  const hex = bigEndian.toString(16).padStart(8, "0");
  return state.fail(CaptureErrorCode.notACapture, `neither pcap nor pcapng starts with the bytes ${hex}`, 0);
}
