import {
  appendFragList,
  cloneSkb,
  copySkb,
  copySkbHead,
  cowHead,
  cowSkb,
  expandHead,
  groReceive,
  groReceiveList,
  isSkbCloned,
  linearizeSkb,
  mayPull,
  pullSkb,
  pullTail,
  splitSkb,
  trimSkb,
  tryCoalesce,
} from "@netmem/skb";
import { sliceSpans, spanBytes } from "./content.ts";
import type { MixWorld, Packet } from "./mix-world.ts";

/** Something that can be done with a packet, or with two. */
type Op = (world: MixWorld, packet: Packet) => void;

function isUnreadable(world: MixWorld, packet: Packet): boolean {
  return world.view.of(packet.skb).unreadable;
}

function hasList(world: MixWorld, packet: Packet): boolean {
  return world.view.of(packet.skb).fragList !== 0;
}

/** Another packet, if there is one. */
function other(world: MixWorld, packet: Packet): Packet | null {
  const found = world.pick();
  return found === undefined || found === packet ? null : found;
}

const clone: Op = (world, { skb, spans }) => {
  const copy = cloneSkb(world.slab, skb);
  if (copy !== 0) world.packets.push({ skb: copy, spans });
};

const expand: Op = (world, { skb }) => {
  expandHead(world.slab, skb, world.prng.below(200), world.prng.below(3000));
};

const cow: Op = (world, { skb }) => {
  cowHead(world.slab, skb, world.prng.below(400));
};

const copy: Op = (world, packet) => {
  if (isUnreadable(world, packet)) return;
  const made = copySkb(world.slab, packet.skb);
  if (made !== 0) world.packets.push({ skb: made, spans: packet.spans });
};

const copyHead: Op = (world, { skb, spans }) => {
  const made = copySkbHead(world.slab, skb);
  if (made !== 0) world.packets.push({ skb: made, spans });
};

const copyInto: Op = (world, packet) => {
  if (isUnreadable(world, packet) || hasList(world, packet)) return;
  const made = cowSkb(world.slab, packet.skb, world.prng.pick(world.memory.copyTargets), world.prng.below(300));
  if (made === 0) return;
  world.remove(packet);
  world.packets.push({ skb: made, spans: packet.spans });
};

const split: Op = (world, packet) => {
  if (hasList(world, packet)) return;
  const len = spanBytes(packet.spans);
  const cut = world.prng.below(len + 1);
  const rest = splitSkb(world.slab, packet.skb, cut);
  if (rest === 0) return;
  world.packets.push({ skb: rest, spans: sliceSpans(packet.spans, cut, len) });
  packet.spans = sliceSpans(packet.spans, 0, cut);
};

const trim: Op = (world, packet) => {
  const len = world.prng.below(spanBytes(packet.spans) + 50);
  if (trimSkb(world.slab, packet.skb, len)) packet.spans = sliceSpans(packet.spans, 0, len);
};

const pull: Op = (world, packet) => {
  const len = world.prng.below(Math.min(spanBytes(packet.spans), 300) + 1);
  if (world.prng.bool(0.5)) mayPull(world.slab, packet.skb, len);
  if (pullSkb(world.slab, packet.skb, len)) {
    packet.spans = sliceSpans(packet.spans, len, spanBytes(packet.spans));
  }
};

const pullInto: Op = (world, packet) => {
  if (isUnreadable(world, packet)) return;
  if (world.prng.bool(0.2)) linearizeSkb(world.slab, packet.skb);
  else pullTail(world.slab, packet.skb, world.prng.below(world.view.of(packet.skb).dataLen + 1));
};

const coalesce: Op = (world, to) => {
  const from = other(world, to);
  if (from === null || !tryCoalesce(world.slab, to.skb, from.skb)) return;
  to.spans = [...to.spans, ...from.spans];
  if (world.view.of(from.skb).len === 0) from.spans = [];
  // What is left of it is good for nothing else.
  world.consume(from);
};

const list: Op = (world, packet) => {
  const child = other(world, packet);
  // A packet may have clones of a child, as clones may have children in common, but no child is in two lists.
  if (child === null || isSkbCloned(world.slab, packet.skb) || hasList(world, child)) return;
  appendFragList(world.slab, packet.skb, child.skb);
  world.remove(child);
  packet.spans = [...packet.spans, ...child.spans];
};

const gro: Op = (world, packet) => {
  const next = other(world, packet);
  if (next === null || hasList(world, packet)) return;
  const len = spanBytes(next.spans);
  const { headLen, nrFrags } = world.view.of(next.skb);
  const first = nrFrags > 0 && world.prng.bool(0.3) ? world.view.fragLen(0) : 1;
  const offset = world.prng.below(headLen + first);
  const merge = world.prng.bool(0.5) ? groReceive : groReceiveList;
  if (merge(world.slab, packet.skb, packet.skb, next.skb, offset) === 0) return;
  world.remove(next);
  packet.spans = [...packet.spans, ...sliceSpans(next.spans, offset, len)];
};

const OPS: readonly Op[] = [
  clone,
  clone,
  expand,
  cow,
  copy,
  copyHead,
  copyInto,
  split,
  trim,
  pull,
  pullInto,
  coalesce,
  coalesce,
  list,
  gro,
  gro,
];

/** One step: a packet is made, changed, or goes; in any context. Returns the packet that was changed. */
export function step(world: MixWorld, livePackets: number): Packet | undefined {
  const { prng } = world;
  world.shuffleContext();
  const live = world.packets.length + world.frameCount;
  if (prng.below(2 * livePackets) >= live) {
    world.build();
    return world.packets.at(-1);
  }
  if (prng.bool(0.1)) {
    world.endFrame();
    return undefined;
  }
  const packet = world.pick();
  if (packet === undefined) return undefined;
  if (prng.bool(0.4)) {
    world.consume(packet);
    return undefined;
  }
  prng.pick(OPS)(world, packet);
  return world.packets.includes(packet) ? packet : undefined;
}
