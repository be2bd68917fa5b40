import {
  createDevmem,
  createHostMemory,
  type Devmem,
  type DevmemBinding,
  DevmemSocket,
  MSG_SOCK_DEVMEM,
  RECORD_DMABUF,
  RECORD_KIND,
  RECORD_SIZE,
  RECORD_TOKEN,
  RECORD_WORDS,
  RecordKind,
} from "@netmem/devmem";
import { cloneSkb, dropSkb, type SkbRef } from "@netmem/skb";
import { crc32 } from "node:zlib";
import { seqOf, wishOf } from "./frame-source.ts";
import { Wish } from "./ledger.ts";
import { Queue, type World } from "./world.ts";

const MEMORY_BYTES = 1024 * 4096;
const MAX_RECORDS = 256;
const MAX_HELD = 64;

/** A packet as the application has it: headers were copied, payload is tokens. */
interface TokenPacket {
  readonly seq: number;
  readonly wish: Wish;
  readonly headCrc: number;
  readonly headLen: number;
  readonly tokens: number[];
  dmabufId: number;
  left: number;
}

/** An application whose payload lands in device memory: it has tokens for it, and may go at any time. */
export class DevmemReader {
  /** Packets that it got. */
  delivered = 0;
  private readonly world: World;
  private readonly devmem: Devmem;
  private socket: DevmemSocket;
  private binding: DevmemBinding | null = null;
  private readonly gone: DevmemBinding[] = [];
  /** Packets in the socket. */
  private queued: number[] = [];
  private partial: TokenPacket | null = null;
  private ready: TokenPacket[] = [];
  private held: TokenPacket[] = [];
  private readonly out = new Uint8Array(2 ** 16);
  private readonly records = new Int32Array(MAX_RECORDS * RECORD_WORDS);

  constructor(world: World) {
    this.world = world;
    this.devmem = createDevmem(world.host);
    this.socket = this.makeSocket();
  }

  get isBound(): boolean {
    return this.binding !== null;
  }

  /** @throws what binding throws */
  bind(): void {
    const { device, nic } = this.world;
    const memory = createHostMemory({ sizeBytes: MEMORY_BYTES });
    this.binding = this.devmem.bindRx({ device, queues: [Queue.Devmem], memory, ports: nic.ports });
  }

  /** Whatever is outside keeps the binding. */
  unbind(): void {
    if (this.binding === null) return;
    this.devmem.unbind(this.binding);
    this.gone.push(this.binding);
    this.binding = null;
  }

  /** The application dies with packets and tokens; another one takes its place. */
  die(): void {
    const { ledger } = this.world;
    const packets = [...this.ready.splice(0), ...this.held.splice(0), ...(this.partial === null ? [] : [this.partial])];
    this.partial = null;
    for (const { seq } of packets) ledger.drop(seq);
    for (const seq of this.queued.splice(0)) ledger.drop(seq);
    this.socket.close();
    this.socket = this.makeSocket();
  }

  /** Closes memories that nobody holds anything of. True: there are no others. */
  collect(): boolean {
    for (let n = this.gone.length - 1; n >= 0; n--) {
      if (!this.gone[n]!.isFreed) continue;
      void this.gone[n]!.memory.close();
      this.gone.splice(n, 1);
    }
    return this.gone.length === 0;
  }

  /** Takes an unreadable packet. Returns a clone of it for the stack to hold, 0 for none. */
  take(skb: SkbRef): SkbRef | 0 {
    const { bytes, host, ledger, slab } = this.world;
    const { data } = bytes.view.of(skb);
    const seq = seqOf(host.u8, data);
    const wish = wishOf(host.u8, data);
    const copy = wish === Wish.Clone ? cloneSkb(slab, skb) : 0;
    if (copy !== 0) ledger.fork(seq);
    if (wish !== Wish.Discard && this.socket.enqueue(skb)) this.queued.push(seq);
    else {
      ledger.drop(seq);
      dropSkb(slab, skb, 0);
    }
    return copy;
  }

  /** Reads what waits, and verifies what it is done with. */
  async read(): Promise<void> {
    while (this.socket.recv(this.out, this.records, MSG_SOCK_DEVMEM, 2 ** 30) > 0) this.parse();
    await this.finish(this.ready.splice(0));
  }

  /** Lets go of the oldest packets. */
  async release(count: number): Promise<void> {
    await this.finish(this.held.splice(0, count));
  }

  private makeSocket(): DevmemSocket {
    return new DevmemSocket(this.devmem, { packets: this.world.packets, maxTokens: 1024, maxPackets: 256 });
  }

  private parse(): void {
    const { records, socket, out } = this;
    let done = 0;
    for (let n = 0; n < socket.recordCount; n++) {
      const at = n * RECORD_WORDS;
      const size = records[at + RECORD_SIZE]!;
      if (records[at + RECORD_KIND] === RecordKind.Linear) {
        this.begin(out.subarray(done, done + size));
        done += size;
      } else this.addToken(records[at + RECORD_TOKEN]!, size, records[at + RECORD_DMABUF]!);
    }
  }

  private begin(head: Uint8Array): void {
    const { ledger } = this.world;
    const seq = seqOf(head, 0);
    if (this.partial !== null || this.queued.shift() !== seq) throw new Error(`packet ${seq} is not the next one`);
    const left = ledger.lenOf(seq) - head.length;
    const [headCrc, headLen] = [crc32(head), head.length];
    this.partial = { seq, wish: wishOf(head, 0), headCrc, headLen, tokens: [], dmabufId: 0, left };
  }

  private addToken(token: number, size: number, dmabufId: number): void {
    const packet = this.partial;
    if (packet === null) throw new Error("a token without headers");
    packet.tokens.push(token);
    packet.dmabufId = dmabufId;
    packet.left -= size;
    if (packet.left > 0) return;
    this.partial = null;
    this.delivered++;
    if (packet.wish === Wish.Hold && this.held.length < MAX_HELD) this.held.push(packet);
    else this.ready.push(packet);
  }

  private async finish(packets: TokenPacket[]): Promise<void> {
    for (const group of Map.groupBy(packets, ({ dmabufId }) => dmabufId).values()) await this.finishGroup(group);
  }

  /** One readback for packets of one binding. */
  private async finishGroup(group: readonly TokenPacket[]): Promise<void> {
    const { ledger } = this.world;
    const tokens = group.flatMap((packet) => packet.tokens);
    const bytes = await this.socket.readback(tokens);
    let at = 0;
    for (const { seq, headCrc, headLen } of group) {
      const len = ledger.lenOf(seq);
      ledger.verify(seq, crc32(bytes.subarray(at, at + len - headLen), headCrc), len);
      at += len - headLen;
    }
    for (const token of tokens) this.socket.giveBack(token, 1);
  }
}
