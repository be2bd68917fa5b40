import { DmaDir, type Host, type PageRef } from "@netmem/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type BounceDevice, createBounceDevice } from "../src/index.ts";
import { createTestHost, takePage, translate } from "./test-host.ts";

const POISON = 0xdb;
const PAGE_BYTES = 4096;

interface Side {
  readonly ref: PageRef;
  readonly order: number;
  /** What the CPU sees. */
  readonly cpu: Uint8Array;
}

interface Mapping extends Side {
  readonly pfn: number;
  readonly dir: DmaDir;
  /** What the device sees. */
  readonly device: Uint8Array;
}

/** Bytes at `at` percent of a buffer, `length` of them or up to its end. */
interface Span {
  readonly at: number;
  readonly length: number;
}

/** The device, and by its side two plain copies of every buffer. */
class Pair {
  readonly device: BounceDevice;
  readonly host: Host;
  private readonly skip: boolean;
  private readonly sides: Side[];
  private readonly live: Mapping[] = [];
  private nextByte = 1;

  constructor(skip: boolean) {
    this.host = createTestHost().host;
    this.device = createBounceDevice(this.host, { skipCpuSync: skip });
    this.skip = skip;
    this.sides = [0, 0, 1].map((order) => ({
      ref: takePage(this.host, order),
      order,
      cpu: new Uint8Array(PAGE_BYTES << order),
    }));
  }

  map(pick: number, dir: DmaDir): void {
    const side = this.sides[pick % this.sides.length]!;
    const pfn = this.device.map(side.ref, side.order, dir);
    const copied = !this.skip || dir === DmaDir.ToDevice;
    const device = copied ? side.cpu.slice() : new Uint8Array(side.cpu.length).fill(POISON);
    this.live.push({ ...side, pfn, dir, device });
  }

  unmap(pick: number): void {
    const [mapping] = this.live.splice(pick % Math.max(this.live.length, 1), 1);
    if (mapping === undefined) return;
    this.device.unmap(mapping.pfn, mapping.order, mapping.dir);
    if (!this.skip && mapping.dir !== DmaDir.ToDevice) mapping.cpu.set(mapping.device);
    expect(translate(this.device, mapping.pfn)).toEqual([-1]);
  }

  cpuWrite(pick: number, span: Span): void {
    const side = this.sides[pick % this.sides.length]!;
    this.write(side.cpu, this.host.offsetOf(side.ref), span);
  }

  deviceWrite(pick: number, span: Span): void {
    const mapping = this.live[pick % Math.max(this.live.length, 1)];
    if (mapping !== undefined) this.write(mapping.device, translate(this.device, mapping.pfn)[0]!, span);
  }

  sync(pick: number, span: Span, forCpu: boolean): void {
    const mapping = this.live[pick % Math.max(this.live.length, 1)];
    if (mapping === undefined) return;
    const { pfn, dir, cpu, device } = mapping;
    const [from, to] = range(device, span);
    if (forCpu) this.device.syncForCpu(pfn, from, to - from, dir);
    else this.device.syncForDevice(pfn, from, to - from, dir);
    if (!forCpu) device.set(cpu.subarray(from, to), from);
    else if (dir !== DmaDir.ToDevice) cpu.set(device.subarray(from, to), from);
  }

  /** Compares every byte of both sides. */
  check(): void {
    for (const { ref, cpu } of this.sides) this.compare(this.host.offsetOf(ref), cpu);
    for (const { pfn, device } of this.live) this.compare(translate(this.device, pfn)[0]!, device);
  }

  /** Buffers whose two sides differ. */
  differing(): number {
    return this.live.filter(({ cpu, device }) => Buffer.compare(cpu, device) !== 0).length;
  }

  private write(model: Uint8Array, at: number, span: Span): void {
    const [from, to] = range(model, span);
    const byte = this.nextByte++ & 0xff;
    model.fill(byte, from, to);
    this.host.u8.fill(byte, at + from, at + to);
  }

  private compare(at: number, wanted: Uint8Array): void {
    expect(Buffer.compare(this.host.u8.subarray(at, at + wanted.length), wanted)).toBe(0);
  }
}

function range(bytes: Uint8Array, { at, length }: Span): [from: number, to: number] {
  const from = Math.floor((bytes.length * at) / 100);
  return [from, Math.min(from + length, bytes.length)];
}

const pick = fc.nat(1000);
const dir = fc.constantFrom(DmaDir.Bidirectional, DmaDir.ToDevice, DmaDir.FromDevice);
const span = fc.record({ at: fc.nat(100), length: fc.oneof(fc.nat(16), fc.nat(9000)) });
const command = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("map" as const), pick, dir }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("unmap" as const), pick }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom("cpuWrite" as const, "deviceWrite" as const), pick, span }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("sync" as const), pick, span, forCpu: fc.boolean() }) },
);

test("both sides hold the bytes that a model of two copies holds", () => {
  let differing = 0;
  let same = 0;
  fc.assert(
    fc.property(fc.boolean(), fc.array(command, { maxLength: 60, size: "max" }), (skip, commands) => {
      const pair = new Pair(skip);
      for (const command of commands) {
        if (command.kind === "map") pair.map(command.pick, command.dir);
        else if (command.kind === "unmap") pair.unmap(command.pick);
        else if (command.kind === "sync") pair.sync(command.pick, command.span, command.forCpu);
        else pair[command.kind](command.pick, command.span);
        pair.check();
      }
      differing += pair.differing();
      same += pair.device.stats().mapped - pair.differing();
    }),
    { seed: 20260303, numRuns: 100 },
  );
  expect(differing).toBeGreaterThan(50);
  expect(same).toBeGreaterThan(50);
});
