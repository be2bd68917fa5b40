import { type NetmemRef, type PageRef } from "@netmem/core";
import type { SkbRef } from "@netmem/skb";
import { type Zcrx, type ZcrxRegistry, ZcrxResult, ZcrxUser } from "@netmem/zcrx";
import { seqOf, wishOf } from "./frame-source.ts";
import { Wish } from "./ledger.ts";
import type { World } from "./world.ts";

const AREA_ORDER = 10;
const MAX_HELD = 64;

interface Piece {
  readonly offset: number;
  readonly length: number;
}

interface HeldPacket {
  readonly seq: number;
  readonly pieces: readonly Piece[];
}

/** An area, and the block of pages that it is. */
interface Registration {
  readonly zcrx: Zcrx;
  readonly block: PageRef;
}

/** An application that receives a queue's packets in memory of its own, and may go at any time. */
export class ZcrxReader {
  /** Packets that it got. */
  delivered = 0;
  private readonly world: World;
  private readonly registry: ZcrxRegistry;
  private readonly queueIdx: number;
  private now: (Registration & { readonly user: ZcrxUser }) | null = null;
  private readonly gone: Registration[] = [];
  private readonly held: HeldPacket[] = [];

  constructor(world: World, registry: ZcrxRegistry, queueIdx: number) {
    this.world = world;
    this.registry = registry;
    this.queueIdx = queueIdx;
  }

  get isOpen(): boolean {
    return this.now !== null;
  }

  /** @throws what registering throws */
  open(): void {
    const { host, device, packets } = this.world;
    const block = host.pages.allocPages(AREA_ORDER);
    if (block === 0) return;
    const area = { offset: host.offsetOf(block), bytes: host.pageSizeBytes << AREA_ORDER };
    try {
      const zcrx = this.registry.register({ device, queueIdx: this.queueIdx, area, refillEntries: 512, packets });
      this.now = { zcrx, block, user: new ZcrxUser(host, zcrx) };
    } catch (error) {
      host.pages.freePage(block);
      throw error;
    }
  }

  /** The application is gone, with whatever it had. */
  close(): void {
    const { now, world } = this;
    if (now === null) return;
    this.now = null;
    for (const { seq } of this.held.splice(0)) world.ledger.drop(seq);
    now.zcrx.unregister();
    this.gone.push(now);
    this.collect();
  }

  /** Frees areas that nobody holds anything of. True: there are no others. */
  collect(): boolean {
    const { pages } = this.world.host;
    for (let n = this.gone.length - 1; n >= 0; n--) {
      if (!this.gone[n]!.zcrx.isFreed) continue;
      pages.freePage(this.gone[n]!.block);
      this.gone.splice(n, 1);
    }
    return this.gone.length === 0;
  }

  /** Takes a packet with bytes in the area; false leaves it to the caller. */
  take(skb: SkbRef): boolean {
    const { now, world } = this;
    if (now === null) return false;
    const view = world.bytes.view.of(skb);
    const isMine = (ref: NetmemRef): boolean => now.zcrx.area.numberOf(ref) >= 0;
    if (!isMine(view.nrFrags > 0 ? view.fragRef(0) : view.head)) return false;
    const { u8 } = world.host;
    const wish = wishOf(u8, view.data);
    if (wish !== Wish.Consume && wish !== Wish.Hold) return false;
    const seq = seqOf(u8, view.data);
    if (now.zcrx.deliver(skb) !== ZcrxResult.Delivered) return false;
    this.delivered++;
    const packet = this.receive(now.user, seq);
    if (wish === Wish.Hold && this.held.length < MAX_HELD) this.held.push(packet);
    else this.end(packet);
    return true;
  }

  /** Lets go of the oldest packets. */
  release(count: number): void {
    for (const packet of this.held.splice(0, count)) this.end(packet);
  }

  private receive(user: ZcrxUser, seq: number): HeldPacket {
    const pieces: Piece[] = [];
    for (let left = this.world.ledger.lenOf(seq); left > 0; left -= user.length) {
      if (!user.next()) throw new Error(`${left} bytes of packet ${seq} have no completion`);
      pieces.push({ offset: user.offset, length: user.length });
    }
    return { seq, pieces };
  }

  private end({ seq, pieces }: HeldPacket): void {
    const { zcrx, user } = this.now!;
    const { bytes, ledger } = this.world;
    let crc = 0;
    let len = 0;
    for (const { offset, length } of pieces) {
      crc = bytes.crc(zcrx.area.offset + offset, length, crc);
      len += length;
    }
    ledger.verify(seq, crc, len);
    for (const { offset, length } of pieces) {
      if (user.giveBack(offset, length)) continue;
      user.flush();
      zcrx.flushRefill();
      if (!user.giveBack(offset, length)) throw new Error("the refill ring does not empty");
    }
    user.flush();
  }
}
