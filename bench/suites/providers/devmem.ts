/** Device memory: behind a page pool and as a memory type of its own, with and without tokens, and landing in it. */

import {
  createHost,
  type Host,
  IDX_MASK,
  type NetmemRef,
  type PacketSource,
  type PacketView,
  returnNetmem,
} from "@netmem/core";
import {
  createDevmem,
  createDevmemAllocator,
  createHostMemory,
  createTokenRing,
  type DevmemBinding,
  DevmemSocket,
  HeldTokens,
  MSG_SOCK_DEVMEM,
  RECORD_TOKEN,
  RECORD_WORDS,
  TokenReturner,
} from "@netmem/devmem";
import { createPageAllocator } from "@netmem/mm";
import { createPagePool, PagePoolFlag } from "@netmem/page-pool";
import { loopRow } from "../../measure.ts";
import type { Ratio, Row } from "../../suite.ts";

const PAGES = 1024;
const FRAGS = 64;
const FRAGS_PER_PACKET = 16;
const PAYLOAD_BYTES = 1448;

/** What both stand behind, so that the binding is bound to something. */
const DEVICE = { ifindex: 1, queues: { length: 1 }, openRxqProvider: () => {}, closeRxqProvider: () => {} };

interface Source {
  readonly host: Host;
  readonly binding: DevmemBinding;
  allocBulk(out: Int32Array, max: number): number;
  put(ref: NetmemRef): void;
}

function makeHost(): Host {
  const clock = { nowMs: () => performance.now(), setTimer: () => 0, clearTimer: () => {} };
  return createHost({ arenaBytes: 16 * 2 ** 20, clock, pageAllocator: createPageAllocator });
}

function bind(host: Host): { devmem: ReturnType<typeof createDevmem>; binding: DevmemBinding } {
  const devmem = createDevmem(host);
  const memory = createHostMemory({ sizeBytes: PAGES * 4096 });
  return { devmem, binding: devmem.bindRx({ device: DEVICE, queues: [0], memory }) };
}

function fromPool(): Source {
  const host = makeHost();
  const { binding } = bind(host);
  const pool = createPagePool(host, {
    flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev | PagePoolFlag.AllowUnreadableNetmem,
    maxLenBytes: 4096,
    rxq: { ifindex: 1, queueIdx: 0, provider: binding.provider },
  });
  return { host, binding, allocBulk: (out, max) => pool.allocBulk(out, max), put: (ref) => pool.recycleDirect(ref) };
}

function fromAllocator(): Source {
  const host = makeHost();
  const { binding } = bind(host);
  const own = createDevmemAllocator(host, binding);
  return { host, binding, allocBulk: (out, max) => own.allocBulk(out, max), put: (ref) => own.put(ref, -1, true) };
}

/** Take 64, give 64 back. */
function directRow(name: string, make: () => Source): Row {
  return loopRow({
    name,
    unit: "ns/frag",
    opsPerTurn: FRAGS,
    setup: () => ({ source: make(), refs: new Int32Array(FRAGS) }),
    run: ({ source, refs }, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        const count = source.allocBulk(refs, FRAGS);
        for (let k = 0; k < count; k++) source.put(refs[k]! as NetmemRef);
        sum = (sum + count) | 0;
      }
      return sum;
    },
  });
}

/** Packets of 16 fragments over one array of references: packet n has those from (n - 1) * 16 on. */
class Packets implements PacketSource, PacketView {
  readonly view: PacketView = this;
  readonly refs = new Int32Array(FRAGS);
  readonly headLen = 0;
  readonly data = 0;
  readonly unreadable = true;
  readonly nrFrags = FRAGS_PER_PACKET;
  readonly fragList = 0;
  readonly next = 0;
  private first = 0;
  private readonly host: Host;

  constructor(host: Host) {
    this.host = host;
  }

  of(packet: number): PacketView {
    this.first = (packet - 1) * FRAGS_PER_PACKET;
    return this;
  }

  fragRef(fragIdx: number): number {
    return this.refs[this.first + fragIdx]!;
  }

  fragOffset(_fragIdx: number): number {
    return 0;
  }

  fragLen(_fragIdx: number): number {
    return PAYLOAD_BYTES;
  }

  consume(packet: number): void {
    const from = (packet - 1) * FRAGS_PER_PACKET;
    for (let n = 0; n < FRAGS_PER_PACKET; n++) returnNetmem(this.host, this.refs[from + n]! as NetmemRef);
  }
}

type GiveBack = "range" | "single" | "ring";

/** Take 64, receive them as tokens, give the tokens back. */
function tokenRow(name: string, giveBack: GiveBack): Row {
  return loopRow({
    name,
    unit: "ns/frag",
    opsPerTurn: FRAGS,
    setup: () => {
      const host = makeHost();
      const { devmem, binding } = bind(host);
      const packets = new Packets(host);
      const ringAt = createTokenRing(host, 256);
      const socket = new DevmemSocket(devmem, { packets, ...(giveBack === "ring" && { returnRing: ringAt }) });
      const own = createDevmemAllocator(host, binding);
      const app = new TokenReturner(host, ringAt);
      const [records, out, ranges] = [new Int32Array(FRAGS * RECORD_WORDS), new Uint8Array(0), new Int32Array(2)];
      return { packets, socket, own, app, records, out, ranges };
    },
    run: ({ packets, socket, own, app, records, out, ranges }, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        own.allocBulk(packets.refs, FRAGS);
        for (let packet = 1; packet <= FRAGS / FRAGS_PER_PACKET; packet++) socket.enqueue(packet);
        sum = (sum + socket.recv(out, records, MSG_SOCK_DEVMEM, 0x7fffffff)) | 0;
        const first = records[RECORD_TOKEN]!;
        if (giveBack === "ring") {
          app.give(first, FRAGS);
          app.flush();
          socket.drainReturns();
          continue;
        }
        const step = giveBack === "range" ? FRAGS : 1;
        for (let n = 0; n < FRAGS; n += step) {
          ranges[0] = first + n;
          ranges[1] = step;
          socket.dontNeed(ranges, 2);
        }
      }
      return sum;
    },
  });
}

/** Take 64, let tokens hold them, give the tokens back as one range: what a return by token costs more than one by hand. */
function returnRow(name: string): Row {
  return loopRow({
    name,
    unit: "ns/frag",
    opsPerTurn: FRAGS,
    setup: () => {
      const host = makeHost();
      const { devmem, binding } = bind(host);
      const held = new HeldTokens(devmem, 4096, 1, 0);
      return { held, own: createDevmemAllocator(host, binding), refs: new Int32Array(FRAGS), range: new Int32Array(2) };
    },
    run: ({ held, own, refs, range }, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        own.allocBulk(refs, FRAGS);
        range[0] = held.add(refs[0]! as NetmemRef, 0, PAYLOAD_BYTES);
        for (let k = 1; k < FRAGS; k++) held.add(refs[k]! as NetmemRef, 0, PAYLOAD_BYTES);
        range[1] = FRAGS;
        sum = (sum + held.endRanges(range, 2, 1024)) | 0;
      }
      return sum;
    },
  });
}

/** Write 64 payloads into pages in a row, and land them. */
function landingRow(name: string): Row {
  const source = new Uint8Array(4096);
  return loopRow({
    name,
    unit: "ns/frag",
    opsPerTurn: FRAGS,
    setup: () => ({ from: fromAllocator(), refs: new Int32Array(FRAGS) }),
    run: ({ from, refs }, turns) => {
      let sum = 0;
      const { binding } = from;
      // The first area of a host begins behind its pages.
      const firstIdx = from.host.layout.pageCount;
      for (let i = 0; i < turns; i++) {
        from.allocBulk(refs, FRAGS);
        for (let k = 0; k < FRAGS; k++) {
          const page = ((refs[k]! >>> 1) & IDX_MASK) - firstIdx;
          if (!binding.landing.write(page, 0, source, 0, PAYLOAD_BYTES)) throw new Error("the landing zone is full");
        }
        binding.landing.flush();
        sum = (sum + refs[0]!) | 0;
        for (let k = FRAGS - 1; k >= 0; k--) returnNetmem(from.host, refs[k]! as NetmemRef);
      }
      return sum;
    },
  });
}

export const devmemRows: readonly Row[] = [
  directRow("devmem_pool_direct", fromPool),
  directRow("devmem_type_direct", fromAllocator),
  returnRow("devmem_token_return"),
  tokenRow("devmem_recv_range", "range"),
  tokenRow("devmem_recv_single", "single"),
  tokenRow("devmem_recv_ring", "ring"),
  landingRow("devmem_landing_host"),
];

export const devmemRatios: readonly Ratio[] = [
  { name: "devmem_type_vs_pool", of: ["devmem_type_direct", "devmem_pool_direct"] },
  { name: "token_return_vs_direct", of: ["devmem_token_return", "devmem_type_direct"], bar: "<=4" },
  { name: "devmem_recv_vs_direct", of: ["devmem_recv_range", "devmem_type_direct"] },
];
