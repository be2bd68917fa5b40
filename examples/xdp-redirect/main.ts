import { Prng } from "@netmem/testing";
import { closeStand, makeStand, type Port, type Stand, writeForwarded, writePacket } from "./stand.ts";

const PACKETS = 50_000;
const BURST = 32;
const MAX_PAYLOAD_BYTES = 4000;

/** Compares what comes out of a port with what went into the other one, in order. */
class Checker {
  right = 0;
  wrong = 0;
  private readonly network: number;
  private readonly expected: [n: number, payloadBytes: number][] = [];
  private readonly bytes = new Uint8Array(MAX_PAYLOAD_BYTES + 100);

  constructor(port: Port, network: number) {
    this.network = network;
    port.onSent = (sent) => this.check(sent);
  }

  expect(n: number, payloadBytes: number): void {
    this.expected.push([n, payloadBytes]);
  }

  private check(sent: Uint8Array): void {
    const [n, payloadBytes] = this.expected.shift() ?? [0, 0];
    const len = writeForwarded(this.bytes, this.network, n, payloadBytes);
    const isRight = len === sent.length && sent.every((byte, at) => byte === this.bytes[at]);
    if (isRight) this.right++;
    else this.wrong++;
  }
}

/** Packets into both ports, each for the network behind the other. */
function run(stand: Stand): Checker[] {
  const prng = new Prng(1);
  const bytes = new Uint8Array(MAX_PAYLOAD_BYTES + 100);
  const checkers = stand.ports.map((port, network) => new Checker(port, network));
  for (let n = 0; n < PACKETS; n++) {
    const to = prng.below(2);
    const payloadBytes = 18 + prng.below(prng.below(2) === 0 ? 400 : MAX_PAYLOAD_BYTES - 18);
    checkers[to]!.expect(n, payloadBytes);
    stand.ports[1 - to]!.nic.receive(bytes, 0, writePacket(bytes, to, n, payloadBytes));
    if (n % BURST === BURST - 1) stand.scheduler.runUntilIdle();
  }
  stand.scheduler.runUntilIdle();
  return checkers;
}

const stand = makeStand();
const checkers = run(stand);
const stats = stand.ports.map(({ device }) => device.getStats()[0]!);
const missing = closeStand(stand);
for (const [n, { right, wrong }] of checkers.entries()) {
  const { device, driver } = stand.ports[n]!;
  const { recycle } = driver.getStats();
  console.log(`${device.name}: ${stats[n]!.rxPackets} received, ${right} sent and right, ${wrong} wrong`);
  console.log(`  buffers that the other port returned to its two pools: ${recycle.cached + recycle.ring}`);
}
console.log(`pages missing after close: ${missing}`);

const kernel = makeStand({ kernelFrames: true });
run(kernel);
const refused = kernel.ports.reduce((sum, { device }) => sum + device.getStats()[0]!.frameErrors, 0);
const missingThere = closeStand(kernel);
console.log(`with kernelFrames, one memory type per frame: ${refused} of ${PACKETS} packets refused`);

const sent = checkers.reduce((sum, { right }) => sum + right, 0);
const isRight = sent === PACKETS && missing === 0 && missingThere === 0 && refused > 0;
process.exitCode = isRight ? 0 : 1;
