/* Two queues opened and closed under traffic in any order: after every step each frame is somewhere, once. */
import { XdpVerdict } from "@netmem/netdev";
import { asSkbRef, consumeSkb } from "@netmem/skb";
import { Prng } from "@netmem/testing";
import { expect, test } from "vitest";
import type { AfXdpDriver } from "../src/index.ts";
import { makeStand, pollAll, type Stand, whyNoAfXdp } from "./fixture.ts";
import { PacketSocket } from "./packet-socket.ts";

const STEPS = 150;
const VERDICTS = [XdpVerdict.Drop, XdpVerdict.Pass, XdpVerdict.Tx, XdpVerdict.Aborted] as const;

class World {
  readonly stand: Stand;
  readonly far: PacketSocket;
  readonly held: number[] = [];
  /** What happened, for the message of a failure. */
  readonly log: string[] = [];
  private readonly prng: Prng;

  constructor(seed: number) {
    this.prng = new Prng(seed);
    const rings = { rx: 128, tx: 64, fill: 256, completion: 64 };
    this.stand = makeStand({ testnet: { queues: 2, mtuBytes: 9000 }, port: { rings } });
    this.far = new PacketSocket(this.stand.system, this.stand.net.far);
    const { device } = this.stand;
    device.setProgram(() => VERDICTS[this.prng.below(VERDICTS.length)]!);
    device.setReceiver((skbs, count) => void this.held.push(...skbs.subarray(0, count)));
  }

  step(): void {
    const { device, scheduler, afXdp, clock } = this.stand;
    const steps: Readonly<Record<string, () => void>> = {
      open: () => void (device.isUp || device.open()),
      close: () => device.close(),
      send: () => this.send(),
      "send more": () => this.send(),
      poll: () => pollAll(scheduler, device),
      "poll once": () => void (device.isUp && device.queues[0]?.napi.schedule() && scheduler.runOnce()),
      consume: () => this.consume(this.prng.below(this.held.length + 1)),
      settle: () => void afXdp.settle(),
      wait: () => clock.advance(50),
    };
    const name = Object.keys(steps)[this.prng.below(9)] ?? "poll";
    this.log.push(name);
    steps[name]?.();
    this.check();
  }

  /** Closes everything; every page must be where it was at the start. */
  end(): void {
    const { device, afXdp, clock, drivers, skbs } = this.stand;
    device.close();
    this.consume(this.held.length);
    expect(afXdp.settle(2000), this.log.join(", ")).toBe(true);
    clock.advance(5000);
    expect([skbs.liveCount, ...drivers.map((driver) => driver.inflight())], this.log.join(", ")).toEqual([0, 0, 0]);
    this.check();
    this.far.close();
    this.stand.close();
  }

  private send(): void {
    const count = this.prng.below(150);
    for (let n = 0; n < count; n++) {
      this.far.send(new Uint8Array(60 + this.prng.below(this.prng.below(4) === 0 ? 8900 : 1400)));
    }
  }

  private consume(count: number): void {
    for (const skb of this.held.splice(0, count)) consumeSkb(this.stand.skbs, asSkbRef(skb));
  }

  private check(): void {
    const { afXdp, drivers } = this.stand;
    const { total, user, fillPosted, txPosted } = afXdp.umem.census();
    expect(user + fillPosted + txPosted, this.log.join(", ")).toBe(total);
    const open = drivers.filter(({ hw }) => hw.socket !== null);
    const posted = open.reduce((sum, driver) => sum + this.postedBy(driver), 0);
    const quarantined = drivers.reduce((sum, { hw }) => sum + hw.quarantinedCount, 0);
    // A page that is sent by several descriptors is one frame of the census.
    expect(fillPosted + txPosted, this.log.join(", ")).toBeLessThanOrEqual(posted + quarantined);
    if (txPosted === 0 && quarantined === 0) expect(fillPosted, this.log.join(", ")).toBe(posted);
  }

  private postedBy({ hw }: AfXdpDriver): number {
    const { rings } = hw.socket!;
    const { rxBadAddr, completionBadAddr, corrupt } = rings.stats();
    expect([rxBadAddr, completionBadAddr, corrupt], this.log.join(", ")).toEqual([0, 0, 0]);
    const census = rings.census();
    return census.fillPosted.total + census.txPosted.total;
  }
}

test("queues opened and closed under traffic lose no page and give none away twice", (context) => {
  const whyNot = whyNoAfXdp();
  if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
  const seed = Number(process.env["NETMEM_SEED"] || Date.now() & 0x7fffffff);
  console.log(`af-xdp lifecycle: NETMEM_SEED=${seed}`);
  for (let run = 0; run < 4; run++) {
    const world = new World(seed + run);
    for (let n = 0; n < STEPS; n++) world.step();
    world.end();
  }
});
