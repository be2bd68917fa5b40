import { type CapturedStream, inOrder, Stand, type StreamPiece } from "@netmem-examples/header-split-nvme";
import type { DeviceFrag, DeviceMemory } from "@netmem/devmem";
import { adler32 } from "@netmem/devmem-webgpu";

/** Computes one checksum for each fragment, where the bytes are. */
export type ChecksumFrags = (frags: readonly DeviceFrag[]) => Promise<ArrayLike<number>>;

export interface ChecksumReport {
  readonly tokens: number;
  /** Payload bytes that were checksummed. */
  readonly bytes: number;
  /** Tokens whose checksum is not that of the capture's bytes. */
  readonly wrong: number;
  readonly dropped: number;
  /** Tokens whose checksum came out right over a byte too few: none, or the check says nothing. */
  readonly falselyRight: number;
}

/** The capture's own checksum of what a token holds, `short` bytes left out at the end. */
function expectedOf({ bytes, firstSeq }: CapturedStream, { seq, length }: StreamPiece, short: number): number {
  const at = (seq - firstSeq) | 0;
  return adler32(bytes.subarray(at, at + length - short));
}

/** Sends a captured stream through a NIC with header split to `memory`, and checksums its tokens there. */
export async function checksumStream(
  frames: readonly Uint8Array[],
  stream: CapturedStream,
  memory: DeviceMemory,
  checksum: ChecksumFrags,
): Promise<ChecksumReport> {
  const stand = new Stand({ memory, flow: stream.flow });
  await stand.run(frames);
  const pieces = inOrder(stand.stream.pieces, stream.firstSeq);
  // The pages are held until the device has read them, whatever becomes of the tokens meanwhile.
  const tokens = pieces.map(({ token }) => token);
  const sums = tokens.length === 0 ? [] : await stand.socket.use(tokens, (frags) => checksum(frags));
  await stand.close();
  const isRight = (n: number, short: number): boolean => sums[n] === expectedOf(stream, pieces[n]!, short);
  return {
    tokens: tokens.length,
    bytes: pieces.reduce((sum, { length }) => sum + length, 0),
    wrong: pieces.filter((_, n) => !isRight(n, 0)).length,
    dropped: stand.dropped,
    falselyRight: pieces.filter((_, n) => isRight(n, 1)).length,
  };
}
