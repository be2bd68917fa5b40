import { Prng } from "@netmem/testing";
import { makeStand, writeAnswer, writeRequest } from "./stand.ts";

const PACKETS = 100_000;
const BURST = 32;
const MAX_PAYLOAD_BYTES = 8000;

const stand = makeStand();
const { nic, device, scheduler, clock } = stand;
const prng = new Prng(1);
const request = new Uint8Array(MAX_PAYLOAD_BYTES + 100);
const answer = new Uint8Array(MAX_PAYLOAD_BYTES + 100);
/** Packets on their way, oldest first. */
const waiting: (readonly [n: number, payloadBytes: number])[] = [];
let right = 0;
let wrong = 0;
stand.onSent = (bytes) => {
  const [n, payloadBytes] = waiting.shift() ?? [0, 0];
  const len = writeAnswer(answer, n, payloadBytes);
  if (Buffer.compare(bytes, answer.subarray(0, len)) === 0) right++;
  else wrong++;
};

for (let n = 0; n < PACKETS; n++) {
  const payloadBytes = 18 + prng.below(n % 8 === 0 ? MAX_PAYLOAD_BYTES - 18 : 1000);
  waiting.push([n, payloadBytes]);
  nic.receive(request, 0, writeRequest(request, n, payloadBytes));
  if (n % BURST === BURST - 1) scheduler.runUntilIdle();
}
scheduler.runUntilIdle();
const stats = device.getStats()[0]!;
const { recycle } = device.drivers[0]!.getStats();
const buffers = recycle.cached + recycle.ring;
device.close();
clock.advance(5000);
const missing = device.drivers[0]!.inflight();
console.log(`received ${stats.rxPackets} packets, ${stats.rxBytes} bytes`);
console.log(`answered ${right} right, ${wrong} wrong, in the buffers that they came in`);
console.log(`buffers back in the pool: ${buffers}, missing after close: ${missing}`);
process.exitCode = right === PACKETS && wrong === 0 && missing === 0 ? 0 : 1;
