/*
 * The ring ends as they are, next to C: an address goes from the RX ring to the fill ring, and nobody checks it. What
 * checked references, a pool and a device cost on top is in the rows of `our-sides.ts`.
 */
import { type AfXdp, openAfXdp } from "@netmem/af-xdp";
import { asPageRef, type Host, IDX_MASK } from "@netmem/core";
import { POLLIN, type Wakeup } from "@netmem/linux";
import { AddrProducer, DescConsumer } from "@netmem/xsk";
import { createHost } from "netmem";
import type { Cable } from "./cable.ts";
import type { Side } from "./windows.ts";

const BATCH = 64;
const CHUNK_MASK = 4095;
const ARENA_BYTES = 64 * 2 ** 20;
const POLL_MS = 10;

/** Takes packets off the RX ring, looks at each, and posts its chunk again. */
export class BareRxSide implements Side {
  private readonly u8: Uint8Array;
  private readonly i32: Int32Array;
  private readonly rx: DescConsumer;
  private readonly fill: AddrProducer;
  private readonly wakeup: Wakeup;
  private readonly fd: number;
  private readonly base: number;
  private readonly isPolling: boolean;
  private readonly afXdp: AfXdp;
  private count = 0;
  private sum = 0;

  constructor({ system, net }: Cable, wait: "spin" | "poll") {
    const host = createHost({ arenaBytes: ARENA_BYTES });
    const afXdp = openAfXdp(host, { system });
    const port = afXdp.openPort({ ifname: net.near.link.name, namespace: net.near.namespace, mode: "copy" });
    const queue = port.queue(0);
    const { layouts, fd } = queue.open();
    this.u8 = host.u8;
    this.i32 = host.i32;
    this.rx = new DescConsumer(host.i32, layouts.rx);
    this.fill = new AddrProducer(host.i32, layouts.fill);
    this.wakeup = afXdp.wakeup;
    this.fd = fd;
    this.base = afXdp.umem.offset;
    this.isPolling = wait === "poll";
    this.afXdp = afXdp;
    this.postAll(host, layouts.fill.size);
    queue.enable();
  }

  turn(): void {
    const { rx, fill, i32, u8, base } = this;
    if (this.isPolling) this.wakeup.pollOne(this.fd, POLLIN, POLL_MS);
    const n = rx.peek(BATCH);
    if (n === 0) return;
    // What was taken off the fill ring cannot be more than what it has room for.
    fill.room(n);
    let sum = this.sum;
    for (let k = 0; k < n; k++) {
      const address = i32[rx.at(k)]!;
      sum = (sum + u8[base + address]!) | 0;
      i32[fill.at(k)] = address & ~CHUNK_MASK;
    }
    this.sum = sum;
    fill.advance(n);
    fill.submit();
    rx.release(n);
    this.count += n;
  }

  packets(): number {
    return this.count;
  }

  close(): void {
    this.afXdp.close();
  }

  private postAll(host: Host, entries: number): void {
    this.fill.room(entries);
    for (let n = 0; n < entries; n++) {
      const page = asPageRef(host.pages.allocPages(0));
      this.fill.put((((page >>> 1) & IDX_MASK) << host.pageShift) - this.base, 0);
    }
    this.fill.submit();
  }
}
