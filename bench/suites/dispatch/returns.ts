/** Returning buffers of many types: by the dispatch table one by one, in bulk, and by their owners themselves. */

import {
  asPageRef,
  type Host,
  MemType,
  returnNetmem,
  returnNetmemBulk,
  returnNetmemRxNapi,
  XdpRxqInfo,
} from "@netmem/core";
import { convertBuffToFrame, FrameBulk, type FrameRef, returnFrame, XdpBuff } from "@netmem/skb";
import { loopRow } from "../../measure.ts";
import type { Row, ScriptRow } from "../../suite.ts";
import { BURST, createTypes, Mix, newHost } from "./mix.ts";

type Take = (mix: Mix, turn: number) => void;
type Give = (mix: Mix) => void;

/** A burst taken by bulk calls to the allocators, and returned. */
function returnRow(name: string, makeMix: () => Mix, take: Take, give: Give): ScriptRow {
  return loopRow({
    name,
    unit: "ns/buffer",
    opsPerTurn: BURST,
    setup: makeMix,
    run: (mix, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        take(mix, i);
        sum = (sum + mix.refAt(i & (BURST - 1))) | 0;
        give(mix);
      }
      return sum;
    },
  });
}

function randomMix(): Mix {
  const host = newHost();
  return new Mix(host, createTypes(host, 6), "random");
}

function fiveTypes(): Mix {
  const host = newHost();
  return new Mix(host, createTypes(host, 5), "interleaved");
}

const takeAll: Take = (mix) => mix.take();
const takeOne: Take = (mix, turn) => mix.takeOfOne(turn);

const single: Give = (mix) => {
  for (let n = 0; n < BURST; n++) returnNetmem(mix.host, mix.refAt(n));
};

const direct: Give = (mix) => {
  for (let n = 0; n < BURST; n++) returnNetmemRxNapi(mix.host, mix.refAt(n));
};

const bulk: Give = (mix) => returnNetmemBulk(mix.host, mix.refs, BURST);

/** What a caller would do who knows each buffer's owner. */
const byOwner: Give = (mix) => {
  for (let n = 0; n < BURST; n++) mix.owners[n]!.put(mix.refAt(n), -1, true);
};

/** Frames of a pool's page as head and an order0 page as fragment. */
class Frames {
  readonly host: Host = newHost();
  readonly frames = new Int32Array(BURST);
  readonly bulk: FrameBulk = new FrameBulk(this.host);
  private readonly mix = new Mix(this.host, createTypes(this.host, 2), "interleaved");
  private readonly xdp: XdpBuff;

  constructor() {
    const rxq = new XdpRxqInfo();
    rxq.mem.type = MemType.PagePool;
    this.xdp = new XdpBuff(this.host, rxq, 4096);
  }

  /** 32 frames of a head and a fragment. */
  take(): number {
    const { host, mix, xdp } = this;
    mix.take();
    for (let n = 0; n < BURST; n += 2) {
      const head = asPageRef(mix.refs[n]!);
      xdp.prepare(head, host.offsetOf(head), 256, 60);
      xdp.addFrag(mix.refAt(n + 1), 0, 1000, 4096);
      this.frames[n >> 1] = convertBuffToFrame(xdp);
    }
    return this.frames[0]!;
  }
}

function frameRow(name: string, give: (subject: Frames) => void): ScriptRow {
  return loopRow({
    name,
    unit: "ns/frame",
    opsPerTurn: BURST / 2,
    setup: () => new Frames(),
    run: (subject, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        sum = (sum + subject.take()) | 0;
        give(subject);
      }
      return sum;
    },
  });
}

export const returnRows: readonly Row[] = [
  returnRow("bulk_six_types", randomMix, takeAll, bulk),
  returnRow("direct_six_types", randomMix, takeAll, direct),
  returnRow("owner_six_types", randomMix, takeAll, byOwner),
  returnRow("one_type_a_burst", fiveTypes, takeOne, single),
  returnRow("five_types_a_burst", fiveTypes, takeAll, single),
  frameRow("frame2", ({ host, frames }) => {
    for (let n = 0; n < BURST / 2; n++) returnFrame(host, frames[n]! as FrameRef);
  }),
  frameRow("frame2_bulk", ({ bulk: queue, frames }) => {
    queue.begin();
    for (let n = 0; n < BURST / 2; n++) queue.add(frames[n]! as FrameRef);
    queue.end();
  }),
];
