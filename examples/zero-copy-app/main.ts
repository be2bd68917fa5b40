import { createIommuDevice } from "@netmem/dma";
import { XdpVerdict } from "@netmem/netdev";
import { Prng } from "@netmem/testing";
import { appPacket, makeStand, otherPacket } from "./stand.ts";

const PACKETS = 100_000;
const BURST = 32;
/** The application comes by every so many bursts. */
const READ_EVERY = 4;

const { nic, device, scheduler, reader, driver } = makeStand({ dma: createIommuDevice });
const prng = new Prng(1);
const bytes = new Uint8Array(2048);
device.setProgram(() => XdpVerdict.Drop, 0);
device.open();
let sentToApp = 0;
for (let n = 0; n < PACKETS; n++) {
  const payload = 18 + prng.below(1400);
  const len = n % 4 === 0 ? appPacket(bytes, sentToApp++, payload) : otherPacket(bytes, n, payload);
  nic.receive(bytes, 0, len);
  if (n % BURST === BURST - 1) scheduler.runUntilIdle();
  if (n % (BURST * READ_EVERY) === 0) reader.read();
}
scheduler.runUntilIdle();
reader.read();
const [rule] = device.flowRules();
const everybody = device.getStats()[0]!;
device.close();
console.log(`steered to the application: ${rule?.packets} packets, ${rule?.bytes} bytes`);
console.log(`read in place: ${reader.packets} packets, ${reader.payloadBytes} bytes of payload, ${reader.wrong} wrong`);
console.log(`everybody else's queue: ${everybody.rxPackets} packets`);
console.log(`pages in flight after close: ${driver.inflight()}`);
const isRight = reader.packets === sentToApp && reader.wrong === 0 && driver.inflight() === 0;
process.exitCode = isRight ? 0 : 1;
