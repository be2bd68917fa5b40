export { CaptureReader, DEFAULT_MAX_BLOCK_BYTES, ReadStatus, type CaptureReaderOptions } from "./capture-reader.ts";
export { PacketInfo } from "./packet-info.ts";
export { type CaptureInterface } from "./capture-interface.ts";
export { CaptureError, CaptureErrorCode } from "./capture-error.ts";
export { isRawIp, LinkType } from "./link-type.ts";
export {
  DEFAULT_SNAP_LEN_BYTES,
  type CaptureWriter,
  type CaptureWriterOptions,
  type PacketMeta,
} from "./capture-writer.ts";
export { createPcapWriter, type PcapWriterOptions } from "./pcap-writer.ts";
export { createPcapngWriter, type InterfaceParams, type PcapngWriter } from "./pcapng-writer.ts";
