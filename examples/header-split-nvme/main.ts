import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openFileMemory } from "@netmem/devmem-file";
import { formatFlow, inOrder, largestStream, readFrames, Stand } from "./stand.ts";
import { compareWithFile } from "./verify.ts";

const PCAP = fileURLToPath(new URL("../mixed-nic/capture/mixed.pcap", import.meta.url));
const frames = readFrames(process.argv[2] ?? PCAP);
const stream = largestStream(frames);
if (stream === null) throw new Error("the capture has no TCP stream over IPv4");
const { flow, firstSeq, bytes } = stream;
console.log(`stream: ${formatFlow(flow)}, ${bytes.length} bytes`);

const dir = mkdtempSync(join(tmpdir(), "header-split-nvme-"));
const path = join(dir, "payload");
try {
  const memory = await openFileMemory({ path, sizeBytes: 8 * 2 ** 20, durability: "close" });
  const stand = new Stand({ memory, flow });
  await stand.run(frames);
  const pieces = inOrder(stand.stream.pieces, firstSeq);
  const { writes, writtenBytes } = memory.stats();
  console.log(`NIC: ${stand.nic.getStats().rxSplit} packets of all flows split, ${stand.dropped} dropped`);
  console.log(`file: ${writtenBytes} bytes in ${writes} writes, ${pieces.length} tokens`);
  // Another descriptor, for reading: the consumer's.
  const wrong = compareWithFile(path, pieces, stream);
  console.log(`payload in the file: ${bytes.length - wrong} bytes right, ${wrong} wrong or missing`);
  console.log(`payload that this process read back: ${memory.readbackBytes} bytes`);
  await stand.close();
  await memory.close();
  const { tokens, lost } = stand.socket.stats();
  console.log(`tokens still out: ${tokens}, pages lost: ${lost}`);
  process.exitCode = wrong + tokens + lost === 0 && stand.dropped === 0 ? 0 : 1;
} finally {
  rmSync(dir, { recursive: true });
}
