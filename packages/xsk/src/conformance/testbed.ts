import type { Host, QueueAllocator } from "@netmem/core";
import type { PollResult, XdpStatistics } from "../peer/xsk-socket.ts";
import type { XskRingLayouts, XskRings } from "../xsk-rings.ts";

/** One end of a link: a bound socket with all four rings, and the user's end of them. */
export interface XskPort {
  readonly rings: XskRings;
  readonly layouts: XskRingLayouts;
  /** Where frames of the UMEM come from: at least 1024, or what the link was asked for. */
  readonly frames: QueueAllocator;
  /** 0, or an errno negated. */
  sendto(): number;
  poll(): PollResult;
  statistics(): XdpStatistics;
}

/** A packet on its way to port b, as an XDP program sees it. */
export interface TestPacket {
  readonly lenBytes: number;
  /** Grows or shrinks the end; false when that is not possible. New bytes are zero. */
  adjustTail(deltaBytes: number): boolean;
  /** Puts 32-bit words in front of the data. */
  setMetadata(word: number): void;
  byteAt(offset: number): number;
}

/** Number of the receiving socket, or -1 to drop. */
export type TestProgram = (packet: TestPacket) => number;

export interface LinkOptions {
  /** Default 4096. */
  readonly chunkSizeBytes?: number;
  /** `UmemFlag`. */
  readonly flags?: number;
  readonly headroomBytes?: number;
  /** Entries of each ring. Default 1024. */
  readonly ringSize?: number;
  /** Descriptors per `receive`. Default 64. */
  readonly batch?: number;
  /** Packets may have several descriptors. */
  readonly hasSg?: boolean;
  /** Sockets that share port b's queue: b and so many more. Default 0. */
  readonly extraSockets?: number;
}

/** Two ports: what one sends, the other receives. */
export interface XskLink {
  readonly host: Host;
  readonly a: XskPort;
  readonly b: XskPort;
  /** Further sockets on b's queue. */
  readonly extra: readonly XskPort[];
  /** Looks at packets to b. Of the program suite only. */
  setProgram(program: TestProgram | null): void;
  /** Moves what can be moved: kicks the kernel on both ends, and waits until it is done. */
  pump(): void | Promise<void>;
  close(): void | Promise<void>;
}

/** What runs the kernel's AF_XDP self-tests: the in-process kernel, or a real one. */
export interface XskTestbed {
  /** Descriptors of one packet at most. */
  readonly maxPacketDescs: number;
  openLink(options: LinkOptions): XskLink | Promise<XskLink>;
}
