/*
 * The ring ends as they are, next to C: addresses go from ring to ring, and nobody checks them. What checked references, a
 * pool and a device cost on top is in the rows of `our-sides.ts`.
 */
import { type AfXdp, openAfXdp } from "@netmem/af-xdp";
import { asPageRef, type Host, IDX_MASK } from "@netmem/core";
import { POLLIN, type Wakeup } from "@netmem/linux";
import { AddrConsumer, AddrProducer, DescConsumer, DescProducer } from "@netmem/xsk";
import { createHost } from "netmem";
import type { Cable } from "./cable.ts";
import { swapMacs } from "./swap-macs.ts";
import type { Side } from "./windows.ts";

const BATCH = 64;
const CHUNK_MASK = 4095;
const ARENA_BYTES = 64 * 2 ** 20;
const POLL_MS = 10;

/** Takes packets off the RX ring; looks at each and posts its chunk again, or sends it back with its addresses swapped. */
export class BareSide implements Side {
  private readonly u8: Uint8Array;
  private readonly u16: Uint16Array;
  private readonly i32: Int32Array;
  private readonly rx: DescConsumer;
  private readonly fill: AddrProducer;
  private readonly tx: DescProducer;
  private readonly completion: AddrConsumer;
  private readonly wakeup: Wakeup;
  private readonly fd: number;
  private readonly base: number;
  private readonly isForwarding: boolean;
  private readonly isPolling: boolean;
  private readonly afXdp: AfXdp;
  private count = 0;
  private sum = 0;

  constructor({ system, net }: Cable, work: "rx" | "l2fwd", wait: "spin" | "poll") {
    const host = createHost({ arenaBytes: ARENA_BYTES });
    const afXdp = openAfXdp(host, { system });
    const port = afXdp.openPort({ ifname: net.near.link.name, namespace: net.near.namespace, mode: "copy" });
    const queue = port.queue(0);
    const { layouts, fd } = queue.open();
    this.u8 = host.u8;
    this.u16 = new Uint16Array(host.memory.buffer);
    this.i32 = host.i32;
    this.rx = new DescConsumer(host.i32, layouts.rx);
    this.fill = new AddrProducer(host.i32, layouts.fill);
    this.tx = new DescProducer(host.i32, layouts.tx);
    this.completion = new AddrConsumer(host.i32, layouts.completion);
    this.wakeup = afXdp.wakeup;
    this.fd = fd;
    this.base = afXdp.umem.offset;
    this.isForwarding = work === "l2fwd";
    this.isPolling = wait === "poll";
    this.afXdp = afXdp;
    this.postAll(host, layouts.fill.size);
    queue.enable();
  }

  turn(): void {
    if (this.isPolling) this.wakeup.pollOne(this.fd, POLLIN, POLL_MS);
    if (this.isForwarding) this.forward();
    else this.drop();
  }

  packets(): number {
    return this.count;
  }

  close(): void {
    this.afXdp.close();
  }

  private drop(): void {
    const { rx, fill, i32, u8, base } = this;
    const n = rx.peek(BATCH);
    if (n === 0) return;
    // What was taken off the fill ring cannot be more than what it has room for; in `complete` neither.
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

  private forward(): void {
    const { rx, tx, i32, u16, base } = this;
    this.complete();
    const count = rx.peek(BATCH);
    const n = tx.room(count) < count ? 0 : count;
    for (let k = 0; k < n; k++) {
      const d = rx.at(k);
      const address = i32[d]!;
      swapMacs(u16, base + address);
      tx.put(address, 0, i32[d + 2]!, 0);
    }
    rx.release(n);
    tx.submit();
    this.count += n;
    if (tx.needsWakeup()) this.wakeup.kickTx(this.fd);
  }

  private complete(): void {
    const { completion, fill, i32 } = this;
    const n = completion.peek(completion.size);
    fill.room(n);
    for (let k = 0; k < n; k++) i32[fill.at(k)] = completion.low(k) & ~CHUNK_MASK;
    fill.advance(n);
    fill.submit();
    completion.release(n);
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
