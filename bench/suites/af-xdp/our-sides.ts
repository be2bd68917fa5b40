/* Our sides of the cable: the rings by themselves, and a device with a driver and a program. */
import { type AfXdp, AfXdpDriver, type AfXdpPort, openAfXdp, RxLoop, type XskSocket } from "@netmem/af-xdp";
import { asPageRef, type Host } from "@netmem/core";
import { POLLIN } from "@netmem/linux";
import { DeviceRegistry, NapiScheduler, NetDevice, type XdpProgram, XdpVerdict } from "@netmem/netdev";
import { createPagePool, type PagePool } from "@netmem/page-pool";
import { SkbSlab, type XdpBuff } from "@netmem/skb";
import { createHost } from "netmem";
import { type Cable, FRAME_BYTES } from "./cable.ts";
import { swapMacs } from "./swap-macs.ts";
import type { Side } from "./windows.ts";

const BATCH = 64;
const RING = 2048;
const HEADROOM_BYTES = 256;
const ARENA_BYTES = 64 * 2 ** 20;
const POLL_MS = 10;

export type Work = "tx" | "rx" | "l2fwd";
export type Wait = "spin" | "poll";

function openNear({ system, net }: Cable): { host: Host; afXdp: AfXdp; port: AfXdpPort } {
  const host = createHost({ arenaBytes: ARENA_BYTES });
  const afXdp = openAfXdp(host, { system });
  const port = afXdp.openPort({ ifname: net.near.link.name, namespace: net.near.namespace, mode: "copy" });
  return { host, afXdp, port };
}

/** A loop of its own over a queue's rings: checked references and a page pool, no device around it. */
export class RingsSide implements Side {
  private readonly host: Host;
  private readonly u16: Uint16Array;
  private readonly afXdp: AfXdp;
  private readonly socket: XskSocket;
  private readonly pool: PagePool;
  private readonly batch = new Int32Array(BATCH);
  private readonly work: Work;
  private readonly wait: Wait;
  private count = 0;
  private sum = 0;

  constructor(cable: Cable, work: Work, wait: Wait) {
    const { host, afXdp, port } = openNear(cable);
    this.host = host;
    this.u16 = new Uint16Array(host.memory.buffer);
    this.afXdp = afXdp;
    this.pool = createPagePool(host, { poolSize: RING });
    const queue = port.queue(0);
    this.socket = queue.open();
    this.work = work;
    this.wait = wait;
    if (work !== "tx") this.refill();
    queue.enable();
  }

  turn(): void {
    if (this.work === "tx") this.turnTx();
    else if (this.work === "rx") this.turnRx();
    else this.turnL2fwd();
  }

  packets(): number {
    return this.count;
  }

  close(): void {
    this.afXdp.close();
  }

  private turnTx(): void {
    const { socket, pool, batch, host } = this;
    const { rings } = socket;
    this.count += rings.complete(RING);
    if (rings.txRoom(BATCH) >= BATCH && pool.allocBulk(batch, BATCH) === BATCH) {
      for (let k = 0; k < BATCH; k++) {
        const ref = asPageRef(batch[k]!);
        rings.transmitOne(ref, host.offsetOf(ref) + HEADROOM_BYTES, FRAME_BYTES);
      }
    }
    if (rings.submitTx()) this.afXdp.wakeup.kickTx(socket.fd);
  }

  private turnRx(): void {
    const { rings } = this.socket;
    const { u8 } = this.host;
    if (this.wait === "poll") this.afXdp.wakeup.pollOne(this.socket.fd, POLLIN, POLL_MS);
    const n = rings.receive(BATCH);
    for (let k = 0; k < n; k++) {
      this.sum = (this.sum + u8[rings.offsets[k]!]!) | 0;
      this.pool.recycleDirect(asPageRef(rings.refs[k]!));
    }
    this.count += n;
    this.refill();
  }

  private turnL2fwd(): void {
    const { rings, fd } = this.socket;
    if (this.wait === "poll") this.afXdp.wakeup.pollOne(fd, POLLIN, POLL_MS);
    rings.complete(RING);
    const n = rings.receive(BATCH);
    for (let k = 0; k < n; k++) {
      const at = rings.offsets[k]!;
      swapMacs(this.u16, at);
      const ref = asPageRef(rings.refs[k]!);
      if (rings.transmitOne(ref, at, rings.lengths[k]!)) this.count++;
      else this.pool.recycleDirect(ref);
    }
    this.refill();
    if (rings.submitTx()) this.afXdp.wakeup.kickTx(fd);
  }

  private refill(): void {
    const { rings } = this.socket;
    while (rings.fillRoom(BATCH) >= BATCH && this.pool.allocBulk(this.batch, BATCH) === BATCH) {
      rings.post(this.batch, BATCH);
    }
  }
}

/** A device with the AF_XDP driver and a program in JavaScript: what applications use. */
export class DeviceSide implements Side {
  private readonly afXdp: AfXdp;
  private readonly device: NetDevice;
  private readonly loop: RxLoop;
  private readonly wait: Wait;

  constructor(cable: Cable, work: "rx" | "l2fwd", wait: Wait) {
    const { host, afXdp, port } = openNear(cable);
    const scheduler = new NapiScheduler(host);
    const parts = { host, scheduler, skbs: new SkbSlab(host), registry: new DeviceRegistry() };
    const drivers: AfXdpDriver[] = [];
    this.device = new NetDevice({ ...parts, name: "near" });
    this.device.addQueue({
      driver: (queue) => {
        const driver = new AfXdpDriver(host, queue, port.queue(0));
        drivers.push(driver);
        return driver;
      },
    });
    this.device.setProgram(programOf(host, work));
    this.device.open();
    this.afXdp = afXdp;
    this.loop = new RxLoop(afXdp, scheduler, drivers);
    this.wait = wait;
  }

  turn(): void {
    if (this.wait === "spin") this.loop.spinOnce();
    else this.loop.pollOnce(POLL_MS);
  }

  packets(): number {
    return this.device.getStats()[0]!.rxPackets;
  }

  close(): void {
    this.device.close();
    this.afXdp.close();
  }
}

function programOf(host: Host, work: "rx" | "l2fwd"): XdpProgram {
  const { u8 } = host;
  const u16 = new Uint16Array(host.memory.buffer);
  let sum = 0;
  if (work === "rx") {
    return (xdp: XdpBuff) => {
      sum = (sum + u8[xdp.data]!) | 0;
      return XdpVerdict.Drop;
    };
  }
  return (xdp: XdpBuff) => {
    swapMacs(u16, xdp.data);
    return XdpVerdict.Tx;
  };
}
