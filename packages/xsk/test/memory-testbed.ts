import type { Host, NetmemRef } from "@netmem/core";
import type { LinkOptions, TestPacket, TestProgram, XskLink, XskPort, XskTestbed } from "../src/conformance/index.ts";
import {
  BindFlag,
  createUmem,
  DescOption,
  Errno,
  type Umem,
  xskFlush,
  XskKernel,
  type XskQueue,
  xskRcv,
  xskRcvZc,
  XskRings,
  type XskSocket,
  zeroCopyFrameBytes,
} from "../src/index.ts";
import { makeHost, setAllRings } from "./fixture.ts";

const FRAMES = 1024;
const IFINDEX = { a: 1, b: 2 } as const;
const ZERO_COPY_SEGS = 17;
const HEADROOM = 256;
const PACKET_BYTES = 96 * 1024;

/** A port of the in-process kernel, with the socket behind it. */
interface MemoryPort extends XskPort {
  readonly socket: XskSocket;
  readonly umem: Umem;
}

/** A packet between the ports: `lenBytes` bytes at `at` of the arena. */
class WirePacket implements TestPacket {
  metaBytes = 0;
  readonly at: number;
  private readonly host: Host;
  private length = 0;

  constructor(host: Host) {
    this.host = host;
    this.at = host.heap.allocWords(PACKET_BYTES >> 2) * 4 + HEADROOM;
  }

  get lenBytes(): number {
    return this.length;
  }

  start(): void {
    this.length = 0;
    this.metaBytes = 0;
  }

  append(from: number, lenBytes: number): void {
    this.host.u8.copyWithin(this.at + this.length, from, from + lenBytes);
    this.length += lenBytes;
  }

  adjustTail(delta: number): boolean {
    if (delta > 0) this.host.u8.fill(0, this.at + this.length, this.at + this.length + delta);
    this.length += delta;
    return this.length > 14;
  }

  setMetadata(value: number): void {
    this.host.i32[(this.at - 4) >> 2] = value;
    this.metaBytes = 4;
  }

  byteAt(offset: number): number {
    return this.host.u8[this.at + offset]!;
  }
}

/** Two devices back to back in one process; in zero-copy mode with a driver that moves packets between the pools. */
class MemoryLink implements XskLink {
  readonly host: Host = makeHost();
  readonly a: MemoryPort;
  readonly b: MemoryPort;
  readonly extra: MemoryPort[] = [];
  private readonly kernel = new XskKernel(this.host);
  private readonly options: LinkOptions;
  private readonly isZeroCopy: boolean;
  private readonly packet = new WirePacket(this.host);
  private program: TestProgram | null = null;

  constructor(options: LinkOptions, isZeroCopy: boolean) {
    this.options = options;
    this.isZeroCopy = isZeroCopy;
    for (const name of ["a", "b"] as const) this.addDevice(name);
    this.a = this.openPort(IFINDEX.a);
    this.b = this.openPort(IFINDEX.b);
    for (let n = 0; n < (options.extraSockets ?? 0); n++) this.extra.push(this.openShared());
  }

  setProgram(program: TestProgram | null): void {
    this.program = program;
  }

  pump(): void {
    for (const { socket } of [this.a, this.b]) while (socket.sendto() === -Errno.EAGAIN) if (!hasRoom(socket)) break;
  }

  close(): void {
    for (const port of [...this.extra, this.b, this.a]) {
      port.rings.close();
      port.socket.close();
    }
    for (const { rings, umem } of [this.a, this.b]) {
      rings.released();
      umem.dispose();
    }
  }

  private addDevice(name: "a" | "b"): void {
    this.kernel.addDevice({
      ifindex: IFINDEX[name],
      queueCount: 1,
      zeroCopyMaxSegs: this.isZeroCopy ? ZERO_COPY_SEGS : 0,
      transmit: (_u8, at, lenBytes) => {
        this.packet.start();
        this.packet.append(at, lenBytes);
        this.arrive(name === "a" ? "b" : "a");
        return 0;
      },
      wakeup: () => this.drive(this[name].socket.queue!, name === "a" ? "b" : "a"),
    });
  }

  private openPort(ifindex: number): MemoryPort {
    const { options, host } = this;
    const chunkSizeBytes = options.chunkSizeBytes ?? 4096;
    const umem = createUmem(host, {
      ownBytes: FRAMES * chunkSizeBytes,
      chunkSizeBytes,
      flags: options.flags ?? 0,
      headroomBytes: options.headroomBytes ?? 0,
    });
    const socket = this.kernel.createSocket();
    socket.registerUmem(umem);
    setAllRings(socket, options.ringSize ?? 1024);
    const mode = this.isZeroCopy ? BindFlag.ZeroCopy : BindFlag.Copy;
    socket.bind({ ifindex, queueIdx: 0, flags: mode | (options.hasSg === true ? BindFlag.UseSg : 0) });
    return makePort(socket, umem, new XskRings(umem, socket.layouts, { batch: options.batch ?? 64 }));
  }

  private openShared(): MemoryPort {
    const socket = this.kernel.createSocket();
    socket.setRing("rx", this.options.ringSize ?? 1024);
    socket.bind({ ifindex: IFINDEX.b, queueIdx: 0, flags: BindFlag.SharedUmem, sharedFd: this.b.socket.fd });
    return makePort(socket, this.b.umem, new XskRings(this.b.umem, socket.layouts, { queueOf: this.b.rings }));
  }

  /** The zero-copy driver's transmitting half. */
  private drive(from: XskQueue, to: "a" | "b"): void {
    const { tx } = from;
    for (let n = tx.peekBatch(64); n > 0; n = tx.peekBatch(64)) {
      this.packet.start();
      for (let k = 0; k < n; k++) {
        this.packet.append(tx.offsets[k]!, tx.lengths[k]!);
        if ((tx.options[k]! & DescOption.PktContd) !== 0) continue;
        this.arrive(to);
        this.packet.start();
      }
      tx.completed(n);
    }
  }

  private arrive(to: "a" | "b"): void {
    const { packet } = this;
    const target = to === "b" && this.program !== null ? this.program(packet) : 0;
    const port = target === 0 ? this[to] : this.extra[target - 1];
    if (port === undefined) return;
    if (this.isZeroCopy) this.placeZeroCopy(port);
    else xskRcv(port.socket, IFINDEX[to], 0, this.host.u8, packet.at, packet.lenBytes, packet.metaBytes);
    xskFlush(port.socket);
  }

  /** The zero-copy driver's receiving half: as the hardware would write into posted buffers. */
  private placeZeroCopy({ socket }: MemoryPort): void {
    const { packet, host } = this;
    const { buffs, hasSg, umem } = socket.queue!;
    const size = zeroCopyFrameBytes(umem.geometry, hasSg);
    const count = Math.ceil(packet.lenBytes / size);
    const refs = new Int32Array(count);
    const got = buffs.allocBulk(refs, count);
    if (got < count) {
      for (const ref of refs.subarray(0, got)) buffs.free(ref as NetmemRef);
      return;
    }
    for (const [n, value] of refs.entries()) {
      const ref = value as NetmemRef;
      const piece = Math.min(size, packet.lenBytes - n * size);
      const meta = n === 0 ? packet.metaBytes : 0;
      buffs.setSize(ref, piece);
      host.u8.copyWithin(buffs.dataOf(ref) - meta, packet.at + n * size - meta, packet.at + n * size + piece);
      if (n > 0) buffs.addFrag(refs[0] as NetmemRef, ref);
    }
    xskRcvZc(socket, refs[0] as NetmemRef);
  }
}

function hasRoom(socket: XskSocket): boolean {
  return (socket.queue?.completion.room(1) ?? 0) > 0;
}

function makePort(socket: XskSocket, umem: Umem, rings: XskRings): MemoryPort {
  return {
    socket,
    umem,
    rings,
    layouts: socket.layouts,
    frames: umem.frames!,
    sendto: () => socket.sendto(),
    poll: () => socket.poll(),
    statistics: () => socket.statistics(),
  };
}

export function memoryTestbed(isZeroCopy: boolean): XskTestbed {
  return {
    maxPacketDescs: isZeroCopy ? ZERO_COPY_SEGS : 18,
    openLink: (options) => new MemoryLink(options, isZeroCopy),
  };
}
