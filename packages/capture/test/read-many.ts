// Reads 400,000 packets between two marks; started by no-garbage.test.ts with --trace-gc.
import { CaptureReader, createPcapngWriter, createPcapWriter, LinkType, PacketInfo, ReadStatus } from "../src/index.ts";

const mode = process.argv[2];
const PACKETS_PER_CHUNK = 1000;
const chunks: Uint8Array[] = [];
const onChunk = (chunk: Uint8Array): void => void chunks.push(chunk);
const chunkBytes = 200_000;

function makeWriter() {
  if (mode !== "pcapng") return createPcapWriter({ onChunk, chunkBytes, resolution: "ns" });
  const writer = createPcapngWriter({ onChunk, chunkBytes });
  writer.addInterface({ linkType: LinkType.ethernet, tsResolution: 9 });
  return writer;
}

const writer = makeWriter();
writer.flush();
const data = new Uint8Array(100);
const meta = { originalLenBytes: 100, tsSec: 4_000_000_000, tsNs: 999_999_999, interfaceIdx: 0 };
for (let nth = 0; nth < PACKETS_PER_CHUNK; nth++) writer.writePacket(data, 0, data.length, meta);
writer.flush();

const [header = data, packets = data] = chunks;
const reader = new CaptureReader();
const info = new PacketInfo();
const memory = new Uint8Array(2048);
const kept: object[] = [{}];

function readChunk(): void {
  while (reader.nextInto(memory, 0, memory.length, info) === ReadStatus.packet) {
    if (mode === "leak") kept[0] = [info.tsSec, info.tsNs, info.fileOffsetBytes];
  }
}

function readChunks(count: number): void {
  for (let nth = 0; nth < count; nth++) {
    reader.push(packets);
    readChunk();
  }
}

reader.push(header);
readChunk();
readChunks(200);
console.log("MARK");
readChunks(400);
console.log("MARK");
if (reader.packetCount !== 600 * PACKETS_PER_CHUNK) throw new Error(`read ${reader.packetCount} packets`);
