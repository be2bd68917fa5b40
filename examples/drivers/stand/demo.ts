import { asSkbRef, consumeSkb, copyBits, SkbView } from "@netmem/skb";
import { crc32, FlowSet, Prng } from "@netmem/testing";
import { XdpVerdict } from "@netmem/netdev";
import { type MakeDriver, makeStand, type Stand } from "./stand.ts";

const PACKETS = 20_000;
const BURST = 32;

/** Compares every packet that passes with what was injected. */
class Checker {
  /** Checksums of injected packets that must still arrive, oldest first. */
  readonly expected: number[] = [];
  passed = 0;
  wrong = 0;
  private readonly stand: Stand;
  private readonly view: SkbView;
  private readonly bytes = new Uint8Array(16_384);

  constructor(stand: Stand) {
    this.stand = stand;
    this.view = new SkbView(stand.skbs);
    stand.device.setReceiver((skbs, count) => {
      for (let n = 0; n < count; n++) this.take(skbs[n]!);
    });
  }

  private take(raw: number): void {
    const skb = asSkbRef(raw);
    const { len } = this.view.of(skb);
    copyBits(this.stand.skbs, skb, 0, this.bytes, len);
    if (crc32(this.bytes, 0, len) !== this.expected.shift()) this.wrong++;
    this.passed++;
    consumeSkb(this.stand.skbs, skb);
  }
}

/**
 * Runs packets of all sizes through a driver: nine of ten pass and are verified, every tenth is dropped by a program.
 * Prints what happened and returns whether everything was right and came home.
 */
export function runDemo(makeDriver: MakeDriver, print: (line: string) => void): boolean {
  const stand = makeStand(makeDriver);
  const { device, nic, scheduler, skbs, driver } = stand;
  const checker = new Checker(stand);
  const sizes = [74, 590, 1514, 4000, 9014].map((frameBytes, n) => ({ frameBytes, weight: 10 - 2 * n }));
  const flows = new FlowSet({ prng: new Prng(1), flowCount: 64, sizes });
  const frame = new Uint8Array(16_384);
  let seen = 0;
  device.setProgram(() => (seen++ % 10 === 9 ? XdpVerdict.Drop : XdpVerdict.Pass));
  device.open();
  for (let sent = 0; sent < PACKETS; sent++) {
    const len = flows.nextInto(frame, 0);
    if (sent % 10 !== 9) checker.expected.push(crc32(frame, 0, len));
    nic.receive(frame, 0, len);
    if (sent % BURST === BURST - 1) scheduler.runUntilIdle();
  }
  scheduler.runUntilIdle();
  device.close();
  const stats = device.getStats()[0]!;
  const { alloc, recycle } = driver.getStats();
  const left = driver.inflight() + skbs.liveCount;
  print(`${driver.composition}: ${stats.rxPackets} packets, ${stats.rxBytes} bytes`);
  print(`passed ${checker.passed}, wrong bytes in ${checker.wrong}, dropped by the program ${stats.xdpDrop}`);
  print(`alloc: fast ${alloc.fast}, refill ${alloc.refill}, slow ${alloc.slow}`);
  print(`recycle: cached ${recycle.cached}, ring ${recycle.ring}, released ${recycle.released}`);
  print(`in flight after close: ${left}`);
  return checker.wrong === 0 && left === 0 && stats.rxPackets === PACKETS && checker.expected.length === 0;
}
