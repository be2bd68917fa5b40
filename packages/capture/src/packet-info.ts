/** What a reader says about a packet. Make one and pass it to every call: it is overwritten, never replaced. */
export class PacketInfo {
  /** Bytes of the packet that the file holds. */
  capturedLenBytes = 0;
  /** Bytes the packet had on the wire: more than captured where the recorder cut it (snap length). */
  originalLenBytes = 0;
  /** Bytes written to the caller's memory: less than captured where the packet did not fit. */
  storedLenBytes = 0;
  /** Interface within its section; 0 in pcap files. */
  interfaceIdx = 0;
  /** Section of a pcapng file, counted from 0; 0 in pcap files. */
  sectionIdx = 0;
  /** See `LinkType`. */
  linkType = 0;
  /** False for pcapng simple packets, which have no time: {@link PacketInfo.tsSec} and tsNs are 0 then. */
  hasTimestamp = false;
  /** Seconds since 1970-01-01 UTC, rounded down; negative only with a negative interface offset. */
  tsSec = 0;
  /** Nanoseconds into that second, 0..999,999,999. */
  tsNs = 0;
  /** Where the packet's record starts in the file. */
  fileOffsetBytes = 0;

  /** Whether the recorder kept less than the packet had. */
  get isSnapped(): boolean {
    return this.capturedLenBytes < this.originalLenBytes;
  }

  /** Whether the caller's memory was too small for what the file holds. */
  get isTruncated(): boolean {
    return this.storedLenBytes < this.capturedLenBytes;
  }
}
