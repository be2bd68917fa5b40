/**
 * Tokens are returned while the GPU has not begun with them, and packets keep coming that would land on their pages. Prints
 * JSON: checksums that are wrong, and how often a page was landed on again.
 */

import { Stand } from "@netmem-examples/header-split-nvme";
import { isNetmemError } from "@netmem/core";
import { adler32, adler32Kernel, openWebGpuMemory } from "@netmem/devmem-webgpu";
import { buildPacket, ipv4Address, macAddress } from "@netmem/testing";

const flow = { src: ipv4Address("10.0.0.1"), dst: ipv4Address("10.0.0.2"), srcPort: 4000, dstPort: 5000 };
const PAYLOAD = 1000;
/** Posted descriptors, the pool's cache, and so few more that pages come round soon. */
const PAGES = 336;

function frameOf(n: number): Uint8Array {
  const frame = new Uint8Array(54 + PAYLOAD);
  buildPacket(frame, 0, {
    ethernet: { srcMac: macAddress("02:00:00:00:00:01"), dstMac: macAddress("02:00:00:00:00:02") },
    network: { kind: "ipv4", src: flow.src, dst: flow.dst },
    transport: { kind: "tcp", srcPort: flow.srcPort, dstPort: flow.dstPort, seq: n * PAYLOAD },
    payload: new Uint8Array(PAYLOAD).fill(n),
    frameBytes: frame.length,
  });
  return frame;
}

const framesFrom = (first: number, count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, n) => frameOf(first + n));

async function run(): Promise<object> {
  const memory = await openWebGpuMemory({ sizeBytes: PAGES * 4096 });
  const stand = new Stand({ memory, flow });
  const { stream, socket } = stand;
  await stand.run(framesFrom(0, 64));
  const held = stream.pieces.slice();
  const kernel = { ...adler32Kernel, code: `${adler32Kernel.code}\n// not compiled before` };
  const state = { isRunning: true };
  const sums = socket
    .use(
      held.map(({ token }) => token),
      (frags) => memory.run(kernel, frags),
    )
    .finally(() => (state.isRunning = false));
  stream.returnAll();
  let seen = 64;
  const offsets = new Set(held.map(({ offset }) => offset));
  const reused = { during: 0, after: 0 };
  const more = async (): Promise<void> => {
    await stand.run(framesFrom(seen, 64));
    seen += 64;
    const again = stream.pieces.filter(({ offset }) => offsets.has(offset)).length;
    if (state.isRunning) reused.during += again;
    else reused.after += again;
    stream.returnAll();
  };
  while (state.isRunning) await more();
  const wrong = [...(await sums)].filter((sum, n) => sum !== adler32(new Uint8Array(PAYLOAD).fill(n)));
  for (let n = 0; n < 40; n++) await more();
  await stand.close();
  await memory.close();
  return { held: held.length, wrong: wrong.length, reused, dropped: stand.dropped };
}

try {
  console.log(JSON.stringify(await run()));
} catch (error) {
  if (!isNetmemError(error) || error.code !== "ERR_NETMEM_NO_GPU") throw error;
  console.log(JSON.stringify({ reason: error.value }));
}
