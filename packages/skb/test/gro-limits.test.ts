import { TcpFlag } from "@netmem/testing";
import { beforeEach, describe, expect, test } from "vitest";
import {
  appendFragList,
  consumeSkb,
  copyBits,
  groReceive,
  groReceiveList,
  GroTable,
  type SkbRef,
  SkbSlab,
} from "../src/index.ts";
import { foldSum } from "../src/skb-checksum.ts";
import { packetOf, type Segment, stream } from "./gro-fixture.ts";
import { Stand } from "./skb-fixture.ts";

let stand: Stand;
let delivered: SkbRef[];

beforeEach(() => {
  stand = new Stand();
  delivered = [];
});

function packet(segment: Segment): SkbRef {
  return packetOf(stand, segment);
}

function collect(skbs: Int32Array, count: number): void {
  delivered.push(...([...skbs.subarray(0, count)] as SkbRef[]));
}

function bytesOf(skb: SkbRef): Uint8Array {
  const bytes = new Uint8Array(stand.view.of(skb).len);
  copyBits(stand.slab, skb, 0, bytes, bytes.length);
  return bytes;
}

test("a sum is folded until it fits: a carry may bring another", () => {
  expect([0, 0xffff, 0x10000, 0x1fffe, 0x1ffff, 0xfffffff, -1].map(foldSum)).toEqual([
    0, 65535, 1, 65535, 1, 4095, 65535,
  ]);
});

describe("fragment lists", () => {
  test.each(["PSH", "FIN"] as const)(
    "%s ends a TCP list without becoming part of it: the first packet stays as it came",
    (name) => {
      const { slab, view } = stand;
      const flags = TcpFlag.ack | (name === "PSH" ? TcpFlag.psh : TcpFlag.fin);
      const table = new GroTable(slab, collect, { tcp: "fragList" });
      const segments: Segment[] = stream(3);
      const skbs = [...segments.slice(0, 2), { ...segments[2], flags }].map(packet);
      for (const skb of skbs) table.receive(skb);
      table.flush();
      expect(delivered).toEqual([skbs[0], skbs[2]]);
      expect([view.of(skbs[0]!).gsoSegs, bytesOf(skbs[0]!)[47]]).toEqual([2, TcpFlag.ack]);
    },
  );

  test("64 packets at most, TCP too", () => {
    const { slab } = stand;
    const table = new GroTable(
      slab,
      (skbs, count) => {
        for (let n = 0; n < count; n++) delivered.push(stand.view.of(skbs[n]! as SkbRef).gsoSegs as SkbRef);
        for (let n = 0; n < count; n++) consumeSkb(slab, skbs[n]! as SkbRef);
      },
      { tcp: "fragList" },
    );
    for (let n = 0; n < 70; n++) {
      table.receive(packet({ bytes: 10, id: n, seq: n * 10 }));
      if (n === 63) table.endPoll();
    }
    table.flush();
    expect([delivered, slab.liveCount]).toEqual([[64, 6], 0]);
  });

  test("a packet that brought a fragment list of its own is merged with nothing: its children would be lost", () => {
    const { slab } = stand;
    const p = stand.skb(60);
    appendFragList(slab, p, stand.skb(5));
    const [one, two] = [stand.skb(60), stand.skb(60)];
    expect([groReceive(slab, p, p, one, 54), groReceiveList(slab, p, p, two, 54)]).toEqual([0, 0]);
    for (const skb of [p, one, two]) consumeSkb(slab, skb);
    expect(slab.liveCount).toBe(0);
  });
});

describe("deliveries", () => {
  test("one that throws loses nothing: each packet was taken, and is delivered once", () => {
    const { host, poolH } = stand;
    const slab = new SkbSlab(host, { skbCount: 128 });
    let thrown = 0;
    const table = new GroTable(slab, (skbs, count) => {
      collect(skbs, count);
      if (thrown++ === 0) throw new Error("the receiver is gone");
    });
    // One is held, 63 are ready, and the last ends the row of the first and starts one: two move in one call.
    const segments: Segment[] = [{}, ...Array.from({ length: 63 }, () => ({ bytes: 0, srcPort: 5 })), { seq: 7 }];
    const skbs = segments.map((segment) => packetOf({ slab, host, poolH }, segment));
    for (const skb of skbs) {
      try {
        table.receive(skb);
      } catch (error) {
        expect(error).toMatchObject({ message: "the receiver is gone" });
      }
    }
    table.flush();
    expect([thrown, new Set(delivered)]).toEqual([2, new Set(skbs)]);
    expect(delivered.length).toBe(skbs.length);
  });

  test("counters go on through 2^31", () => {
    const table = new GroTable(stand.slab, collect);
    Object.assign(table, { received: 0x7fffffff, joined: 0x7fffffff });
    for (const segment of stream(2)) table.receive(packet(segment));
    expect([table.packets, table.merged]).toEqual([0x80000001, 0x80000000]);
  });
});
