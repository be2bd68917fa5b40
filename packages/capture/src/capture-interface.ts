import { TimestampScale } from "./timestamp-scale.ts";

/** An interface that packets were recorded on. A pcap file has one, without a name. */
export class CaptureInterface {
  /** See `LinkType`. */
  readonly linkType: number;
  /** Bytes kept of each packet; 0 means no limit. */
  readonly snapLenBytes: number;
  /** Empty if the file gives none. Cut after 256 bytes. */
  readonly name: string;
  /** Power of 10 of a tick (6 is microseconds), or of 2 if bit 7 is set. */
  readonly tsResolution: number;
  /** Seconds added to every timestamp. */
  readonly tsOffsetSec: number;
  /** @internal */
  readonly scale: TimestampScale;

  constructor(linkType: number, snapLenBytes: number, name: string, tsResolution: number, tsOffsetSec: number) {
    this.linkType = linkType;
    this.snapLenBytes = snapLenBytes;
    this.name = name;
    this.tsResolution = tsResolution;
    this.tsOffsetSec = tsOffsetSec;
    this.scale = new TimestampScale(tsResolution, tsOffsetSec);
  }
}
