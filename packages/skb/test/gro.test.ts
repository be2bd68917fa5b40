import { foldChecksum, sumPseudoHeader, sumWords, TcpFlag } from "@netmem/testing";
import { beforeEach, describe, expect, test } from "vitest";
import {
  addSkbFrag,
  appendFragList,
  allocSkb,
  buildSkb,
  cloneSkb,
  consumeSkb,
  copyBits,
  GRO_MAX_BYTES,
  groReceive,
  groReceiveList,
  type GroParams,
  GroTable,
  markForRecycle,
  putSkb,
  SHINFO_GSO,
  SKB_FLAGS,
  SKB_SHINFO,
  SkbFlag,
  type SkbRef,
} from "../src/index.ts";
import { GroHeaders } from "../src/gro-headers.ts";
import { GroSlots } from "../src/gro-slots.ts";
import { frame, packetOf, type Segment, stream, write } from "./gro-fixture.ts";
import { need, Stand } from "./skb-fixture.ts";

let stand: Stand;
let delivered: SkbRef[];

beforeEach(() => {
  stand = new Stand();
  delivered = [];
});

function makeTable(params?: GroParams): GroTable {
  return new GroTable(
    stand.slab,
    (skbs, count) => delivered.push(...([...skbs.subarray(0, count)] as SkbRef[])),
    params,
  );
}

function packet(segment: Segment): SkbRef {
  return packetOf(stand, segment);
}

/** The packet with its first `headBytes` in the head and the rest in a page. */
function split(segment: Segment, headBytes: number): SkbRef {
  const len = write(segment);
  const { slab, host, poolH } = stand;
  const skb = need(buildSkb(slab, poolH.allocPage(), 0, 4096, 64));
  host.u8.set(frame.subarray(0, headBytes), putSkb(slab, skb, headBytes));
  const page = poolH.allocPage();
  host.u8.set(frame.subarray(headBytes, len), host.offsetOf(page));
  addSkbFrag(slab, skb, page, 0, len - headBytes, 4096);
  return skb;
}

/** Payload that the segments carry, one after the other. */
function payloadOf(segments: readonly Segment[]): Uint8Array {
  return Uint8Array.from(
    segments.flatMap((segment) => {
      const len = write(segment);
      return [...frame.subarray(len - (segment.bytes ?? 100), len)];
    }),
  );
}

function bytesOf(skb: SkbRef): Uint8Array {
  const bytes = new Uint8Array(stand.view.of(skb).len);
  copyBits(stand.slab, skb, 0, bytes, bytes.length);
  return bytes;
}

function lengths(): number[] {
  return delivered.map((skb) => stand.view.of(skb).len);
}

const HEADERS = 54;

describe("TCP", () => {
  test.each([
    ["in their heads", packet, {}],
    ["split behind the headers", (s: Segment) => split(s, HEADERS), {}],
    ["split in the payload", (s: Segment) => split(s, HEADERS + 30), {}],
    ["over IPv6", packet, { ipv6: true }],
    ["headers in a fragment", (s: Segment) => split(s, 20), {}],
  ] as const)("a row of segments %s becomes one packet", (_, make, base) => {
    const { slab, view, poolH } = stand;
    const table = makeTable();
    const segments = stream(10, base);
    for (const segment of segments) table.receive(make(segment));
    expect([delivered, table.held, table.merged]).toEqual([[], 1, 9]);
    table.flush();
    const [skb] = delivered as [SkbRef];
    expect([delivered.length, view.of(skb).gsoSize, view.gsoSegs]).toEqual([1, 100, 10]);
    const headers = view.len - 1000;
    const bytes = bytesOf(skb);
    expect(bytes.subarray(headers)).toEqual(payloadOf(segments));
    expect(stand.isTruesizeRight(skb)).toBe(true);
    checkHeaders(bytes, headers, "ipv6" in base);
    const made = poolH.returned.length;
    consumeSkb(slab, skb);
    expect([slab.liveCount, poolH.returned.length > made]).toEqual([0, true]);
  });

  function checkHeaders(bytes: Uint8Array, headers: number, isIpv6: boolean): void {
    const u16 = (at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    if (isIpv6) expect(u16(18)).toBe(bytes.length - HEADERS);
    else expect([u16(16), foldChecksum(sumWords(bytes, 14, 20))]).toEqual([bytes.length - 14, 0]);
    const pseudo = isIpv6
      ? sumPseudoHeader(bytes, 22, 16, 6, bytes.length - HEADERS)
      : sumPseudoHeader(bytes, 26, 4, 6, bytes.length - 34);
    expect(u16(headers - 4)).toBe(~foldChecksum(pseudo) & 0xffff);
  }

  test("PSH is delivered at once and kept, a short segment ends the row", () => {
    const table = makeTable();
    const [a, b, c, d] = stream(4) as [Segment, Segment, Segment, Segment];
    table.receive(packet(a));
    table.receive(packet({ ...b, flags: TcpFlag.ack | TcpFlag.psh }));
    expect(table.held).toBe(0);
    table.receive(packet(c));
    table.receive(packet({ ...d, bytes: 99 }));
    expect(table.held).toBe(0);
    table.flush();
    expect(lengths()).toEqual([HEADERS + 200, HEADERS + 199]);
    expect(bytesOf(delivered[0]!)[47]).toBe(TcpFlag.ack | TcpFlag.psh);
  });

  const timestamps = (n: number): Uint8Array => Uint8Array.of(1, 1, 8, 10, 0, 0, 0, n, 0, 0, 0, 1);
  test.each<[string, Segment, Segment]>([
    ["a gap in sequence", {}, { seq: 101 }],
    ["a repeated segment", {}, { seq: 0 }],
    ["another acknowledgement", {}, { ack: 8 }],
    ["another window", {}, { window: 501 }],
    ["a longer segment", {}, { bytes: 101 }],
    ["SYN", {}, { flags: TcpFlag.ack | TcpFlag.syn }],
    ["RST", {}, { flags: TcpFlag.ack | TcpFlag.rst }],
    ["URG", {}, { flags: TcpFlag.ack | TcpFlag.urg }],
    ["CWR", {}, { flags: TcpFlag.ack | 0x80 }],
    ["another time to live", {}, { ttl: 63 }],
    ["another type of service", {}, { tos: 4 }],
    ["Don't Fragment in one", {}, { dontFragment: true }],
    ["an IP id that does not follow", {}, { id: 5 }],
    ["the same IP id without Don't Fragment", {}, { id: 0 }],
    ["other options", { options: timestamps(1) }, { options: timestamps(2) }],
    ["options in one", {}, { options: timestamps(1) }],
    ["IPv6, another hop limit", { ipv6: true }, { ipv6: true, ttl: 3 }],
    ["IPv6, another traffic class", { ipv6: true }, { ipv6: true, tos: 8 }],
    ["an empty segment", {}, { bytes: 0 }],
  ])("%s ends the row: two packets, in order", (_, first, second) => {
    const table = makeTable();
    const skbs = [packet({ id: 0, seq: 0, ...first }), packet({ id: 1, seq: 100, ...second })];
    for (const skb of skbs) table.receive(skb);
    table.flush();
    expect([delivered, table.merged]).toEqual([skbs, 0]);
    expect(stand.view.of(skbs[0]!).gsoSegs).toBe(0);
  });

  test.each<[string, Segment, Segment]>([
    ["the next IP id", { id: 0xffff }, { id: 0 }],
    ["the same IP id with Don't Fragment", { id: 3, dontFragment: true }, { id: 3, dontFragment: true }],
    ["equal options", { options: timestamps(1) }, { options: timestamps(1), id: 1 }],
    ["FIN", {}, { flags: TcpFlag.ack | TcpFlag.fin, id: 1 }],
  ])("%s does not", (_, first, second) => {
    const table = makeTable();
    for (const one of [first, { seq: 100, ...second }]) table.receive(packet(one));
    table.flush();
    expect([delivered.length, table.merged]).toEqual([1, 1]);
  });

  test("ids that begin the same must stay the same, and others must go on", () => {
    for (const [ids, expected] of [
      [[3, 3, 4], 2],
      [[3, 4, 4], 2],
      [[3, 3, 3], 1],
      [[3, 4, 5], 1],
    ] as const) {
      delivered = [];
      const table = makeTable();
      ids.forEach((id, n) => table.receive(packet({ id, seq: n * 100, dontFragment: true })));
      table.flush();
      expect(delivered.length).toBe(expected);
    }
  });

  test("flows keep apart: ports, addresses' MAC, flow label, version", () => {
    const table = makeTable();
    const flows: Segment[] = [{}, { srcPort: 1001 }, { srcMac: 5 }, { ipv6: true }, { ipv6: true, flowLabel: 3 }];
    for (let n = 0; n < 5; n++) for (const flow of flows) table.receive(packet({ ...flow, id: n, seq: n * 100 }));
    expect([table.held, table.merged]).toEqual([5, 20]);
    table.flush();
    expect(delivered.map((skb) => stand.view.of(skb).gsoSegs)).toEqual([5, 5, 5, 5, 5]);
  });

  test("a packet that arrived damaged passes as it is, and ends the row of its flow", () => {
    const table = makeTable();
    const [a, b, c] = stream(3) as [Segment, Segment, Segment];
    table.receive(packet(a));
    const broken = packet(b);
    stand.host.u8[stand.view.of(broken).data + 80]! ^= 1;
    table.receive(broken);
    table.receive(packet(c));
    table.flush();
    expect([lengths(), delivered[1]]).toEqual([[154, 154, 154], broken]);
    const ipBroken = packet(a);
    stand.host.u8[stand.view.of(ipBroken).data + 15]! ^= 1;
    table.receive(ipBroken);
    expect(table.held).toBe(0);
  });

  test("Ethernet padding, no payload, fragments, other protocols, clones and merged packets pass", () => {
    const table = makeTable();
    const { slab } = stand;
    const padded = packet({ bytes: 2 });
    putSkb(slab, padded, 4);
    const cloned = packet({});
    const other = need(cloneSkb(slab, cloned));
    const merged = packet({});
    slab.i32[(slab.i32[slab.check(merged) + SKB_SHINFO] ?? 0) + SHINFO_GSO] = 5;
    const arp = packet({});
    stand.host.u8.set([8, 6], stand.view.of(arp).data + 12);
    const tiny = stand.skb(20);
    const skbs = [padded, packet({ bytes: 0 }), packet({ kind: "udp" }), cloned, other, merged, arp, tiny];
    for (const skb of skbs) table.receive(skb);
    expect(table.held).toBe(0);
    table.flush();
    expect(delivered).toEqual(skbs);
  });

  test("unreadable payload merges by reference when the hardware checked it, and passes when not", () => {
    const { slab, view, poolD } = stand;
    const gpuPacket = (segment: Segment): { skb: SkbRef; iov: number } => {
      write({ ...segment, bytes: 100 });
      const skb = need(buildSkb(slab, stand.poolH.allocPage(), 0, 4096, 64));
      stand.host.u8.set(frame.subarray(0, HEADERS), putSkb(slab, skb, HEADERS));
      return { skb, iov: stand.addIov(skb, 100) };
    };
    const table = makeTable();
    const made = stream(4).map(gpuPacket);
    for (const { skb } of made) {
      const at = slab.check(skb);
      slab.i32[at + SKB_FLAGS]! |= SkbFlag.CsumValid;
      table.receive(skb);
    }
    table.receive(gpuPacket({ seq: 400, id: 4 }).skb);
    table.flush();
    const [skb] = delivered as [SkbRef];
    expect([delivered.length, view.of(skb).unreadable, view.len]).toEqual([2, true, HEADERS + 400]);
    expect(stand.fragRefs(skb)).toEqual(made.map(({ iov }) => iov));
    consumeSkb(slab, skb);
    expect(poolD.returned).toEqual(made.map(({ iov }) => iov));
  });

  test("18 fragments and more go on in the fragment list, and there in the fragments of its last", () => {
    const { slab, view } = stand;
    const table = makeTable();
    const segments = stream(40);
    for (const segment of segments) table.receive(split(segment, HEADERS));
    table.flush();
    const [skb] = delivered as [SkbRef];
    expect([delivered.length, view.of(skb).nrFrags, view.fragList !== 0, view.gsoSegs]).toEqual([1, 17, true, 40]);
    expect(bytesOf(skb).subarray(HEADERS)).toEqual(payloadOf(segments));
    expect(stand.isTruesizeRight(skb)).toBe(true);
    consumeSkb(slab, skb);
    expect(slab.liveCount).toBe(0);
  });

  test("stays below 64 KiB", () => {
    const table = makeTable();
    const big = (n: number): SkbRef => packet({ bytes: 3000, seq: n * 3000, id: n });
    for (let n = 0; n < 25; n++) table.receive(big(n));
    table.flush();
    expect(lengths()).toEqual([HEADERS + 21 * 3000, HEADERS + 4 * 3000]);
    expect(lengths().every((len) => len < GRO_MAX_BYTES)).toBe(true);
  });

  test("a head of its own and no place for a fragment: whole into the list", () => {
    const { slab, view } = stand;
    const own = (segment: Segment): SkbRef => {
      const len = write(segment);
      const skb = need(allocSkb(slab, len, 0));
      stand.host.u8.set(frame.subarray(0, len), putSkb(slab, skb, len));
      return skb;
    };
    const table = makeTable();
    const segments = stream(3);
    for (const segment of segments) table.receive(own(segment));
    table.flush();
    const [skb] = delivered as [SkbRef];
    expect([view.of(skb).nrFrags, slab.liveCount]).toEqual([0, 3]);
    expect(bytesOf(skb).subarray(HEADERS)).toEqual(payloadOf(segments));
    consumeSkb(slab, skb);
    expect(slab.liveCount).toBe(0);
  });
});

describe("UDP and fragment lists", () => {
  test("off by default; merged, equal datagrams become one packet, a shorter one ends it", () => {
    const plain = makeTable();
    for (const segment of stream(3, { kind: "udp" })) plain.receive(packet(segment));
    plain.flush();
    expect(delivered.splice(0).length).toBe(3);
    const table = makeTable({ udp: "frags" });
    for (const segment of stream(5, { kind: "udp" })) table.receive(packet(segment));
    table.receive(packet({ kind: "udp", bytes: 60, id: 5 }));
    expect(table.held).toBe(0);
    table.receive(packet({ kind: "udp", bytes: 60, id: 6 }));
    table.receive(packet({ kind: "udp", bytes: 61, id: 7 }));
    table.flush();
    expect(lengths()).toEqual([42 + 560, 42 + 60, 42 + 61]);
    const bytes = bytesOf(delivered[0]!);
    expect([((bytes[38] ?? 0) << 8) | (bytes[39] ?? 0), stand.view.of(delivered[0]!).gsoSegs]).toEqual([568, 6]);
  });

  test("64 datagrams at most", () => {
    const table = makeTable({ udp: "frags" });
    for (let n = 0; n < 70; n++) {
      table.receive(packet({ kind: "udp", bytes: 10, id: n }));
      if (delivered.length > 0) consumeSkb(stand.slab, delivered.pop()!);
    }
    expect([table.held, table.merged]).toEqual([1, 68]);
  });

  test.each(["tcp", "udp"] as const)("as a fragment list, %s packets stay whole, to be sent on one by one", (kind) => {
    const { slab, view } = stand;
    const table = makeTable({ tcp: "fragList", udp: "fragList" });
    const segments = stream(4, { kind });
    const skbs = segments.map(packet);
    for (const skb of skbs) table.receive(skb);
    table.flush();
    expect([delivered, view.of(skbs[0]!).nrFrags, view.gsoSegs]).toEqual([[skbs[0]], 0, 4]);
    let child = view.fragList;
    for (const expected of skbs.slice(1)) {
      expect(child).toBe(expected);
      const { headroom } = view.of(expected);
      // The headers are still there, in front.
      expect(headroom).toBe(64 + (kind === "tcp" ? 54 : 42));
      child = view.next;
    }
    expect(bytesOf(skbs[0]!).subarray(-400)).toEqual(payloadOf(segments));
    consumeSkb(slab, skbs[0]!);
    expect(slab.liveCount).toBe(0);
  });

  test("groReceiveList takes skbs whose bits differ", () => {
    const { slab } = stand;
    const p = stand.skb(60);
    const skb = stand.skb(60, 0, stand.plainPage());
    expect(groReceive(slab, p, p, skb, 54)).toBe(0);
    expect(groReceiveList(slab, p, p, skb, 54)).toBe(skb);
    expect(stand.view.of(p).len).toBe(66);
    consumeSkb(slab, p);
    expect(slab.liveCount).toBe(0);
  });

  test("a merge that would have to mix, share or nest is refused", () => {
    const { slab } = stand;
    const p = stand.skb(60);
    const gpu = stand.skb(54);
    stand.addIov(gpu, 100);
    expect([groReceiveList(slab, p, p, gpu, 54), groReceiveList(slab, p, p, p, 54)]).toEqual([0, 0]);
    expect([groReceive(slab, p, p, stand.skb(54), 54), groReceiveList(slab, p, p, stand.skb(10), 54)]).toEqual([0, 0]);
    const shared = stand.skb(60);
    need(cloneSkb(slab, shared));
    expect([groReceive(slab, p, p, shared, 54), groReceive(slab, shared, shared, p, 54)]).toEqual([0, 0]);
    const listed = stand.skb(60);
    appendFragList(slab, listed, stand.skb(5));
    expect([groReceive(slab, p, p, listed, 54), groReceiveList(slab, p, p, listed, 54)]).toEqual([0, 0]);
    const long = stand.skb(10);
    stand.addPage(long, 20);
    expect([groReceive(slab, p, p, long, 31), groReceive(slab, p, p, long, 30)]).toEqual([0, 0]);
    expect([stand.view.of(p).len, stand.view.of(long).len, stand.view.of(listed).len]).toEqual([60, 30, 65]);
    const plain = stand.skb(60, 0, stand.plainPage());
    markForRecycle(slab, plain);
    expect(groReceive(slab, p, p, plain, 54)).toBe(p);
  });
});

describe("holding", () => {
  test("eight flows per bucket: the oldest of a full bucket goes", () => {
    const table = makeTable();
    for (let n = 0; n < 64; n++) table.receive(packet({ srcPort: 1000 + n }));
    const { held } = table;
    table.endPoll();
    // What full buckets gave up; everybody else waits.
    expect([held < 64, delivered.length, table.held]).toEqual([true, 64 - held, held]);
    table.flush();
    expect([delivered.length, new Set(delivered).size]).toEqual([64, 64]);
  });

  test("of a full bucket the one goes that is held longest; flows with one hash are told apart", () => {
    const slots = new GroSlots();
    const headers = new GroHeaders();
    const takeFlow = (n: number): number => {
      headers.flowHash = 8;
      headers.flow[5] = n;
      const slot = slots.choose(headers);
      const left = slots.words[slot] ?? 0;
      if (left !== 0) slots.release(slot);
      slots.take(slot, n as SkbRef, headers, 100);
      return left;
    };
    expect(Array.from({ length: 12 }, (_, n) => takeFlow(n + 1))).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
    expect([slots.held, slots.words[slots.oldest()]]).toEqual([8, 5]);
    headers.flow[5] = 7;
    expect(slots.words[slots.find(headers)]).toBe(7);
    headers.flow[5] = 4;
    expect(slots.find(headers)).toBe(-1);
  });

  test("a poll that goes on delivers what is ready and what waited since an earlier poll", () => {
    const table = makeTable();
    const [a, b, c] = stream(3) as [Segment, Segment, Segment];
    table.receive(packet(a));
    table.endPoll();
    expect([table.held, delivered.length]).toEqual([1, 0]);
    table.receive(packet(b));
    const young = packet({ srcPort: 5 });
    table.receive(young);
    table.endPoll();
    expect([table.held, lengths()]).toEqual([1, [HEADERS + 200]]);
    table.receive(packet(c));
    table.endPoll();
    expect(delivered[1]).toBe(young);
    table.flush();
    expect([table.held, delivered.length]).toEqual([0, 3]);
  });

  test("hands over in bursts of at most 64", () => {
    const bursts: number[] = [];
    const table = new GroTable(stand.slab, (skbs, count) => {
      bursts.push(count);
      for (let n = 0; n < count; n++) consumeSkb(stand.slab, skbs[n]! as SkbRef);
    });
    for (let n = 0; n < 70; n++) table.receive(packet({ bytes: 0 }));
    table.flush();
    table.flush();
    expect(bursts).toEqual([63, 7]);
  });
});
