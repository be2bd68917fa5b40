import { asPageRef, MemType, type NetmemRef, type ReadableRef, XdpRxqInfo } from "@netmem/core";
import { createDevmemAllocator } from "@netmem/devmem";
import { createPagePool } from "@netmem/page-pool";
import * as skb from "@netmem/skb";
import { createHost } from "netmem";
import { bindDeviceMemory } from "../skb-mix/memory.ts";

/** A host with unreadable memory, alone and in packets. New for each probe. */
export class UnreadableStand {
  readonly host = createHost({ arenaBytes: 16 * 2 ** 20 });
  readonly pool = createPagePool(this.host, {});
  readonly memory = createDevmemAllocator(this.host, bindDeviceMemory(this.host).binding);
  readonly slab = new skb.SkbSlab(this.host, { skbCount: 16 });
  /** An unreadable buffer, and what a careless cast makes of it. */
  readonly ref: NetmemRef = this.take();
  readonly cast: ReadableRef = this.ref as ReadableRef;
  /** 60 linear bytes, then 100 that nobody can read. */
  readonly skb: skb.SkbRef = this.makeSkb();
  readonly bytes = new Uint8Array(4096);

  /** The same as an xdp_buff. */
  xdp(): skb.XdpBuff {
    const rxq = new XdpRxqInfo();
    rxq.mem.type = MemType.PagePool;
    const xdp = new skb.XdpBuff(this.host, rxq, 4096);
    const head = this.page();
    xdp.prepare(head, this.host.offsetOf(head), 256, 60);
    xdp.addFrag(this.take(), 0, 100, 4096);
    return xdp;
  }

  frame(): skb.FrameRef {
    const frame = skb.convertBuffToFrame(this.xdp());
    if (frame === 0) throw new Error("no frame");
    return frame;
  }

  view(): skb.SkbView {
    return new skb.SkbView(this.slab).of(this.skb);
  }

  /** A place in the arena that belongs to the caller. */
  place(): number {
    return this.host.offsetOf(this.page());
  }

  private page(): ReadableRef {
    return asPageRef(this.pool.allocNetmem());
  }

  private take(): NetmemRef {
    const ref = this.memory.allocNetmem();
    if (ref === 0) throw new Error("no device memory");
    return ref;
  }

  private makeSkb(): skb.SkbRef {
    const head = this.page();
    const made = skb.buildSkb(this.slab, head, 0, 4096, 256);
    if (made === 0) throw new Error("the slab is full");
    skb.putSkb(this.slab, made, 60);
    skb.markForRecycle(this.slab, made);
    skb.addSkbFrag(this.slab, made, this.take(), 0, 100, 4096);
    return made;
  }
}

type Probe = (stand: UnreadableStand) => unknown;

/** Must throw `ERR_NETMEM_UNREADABLE` (EFAULT). */
export const THROWS: Readonly<Record<string, Probe>> = {
  "core Host.offsetOf": ({ host, cast }) => host.offsetOf(cast),
  "core Host.copyOut": ({ host, cast }) => host.copyOut(cast, 0, 1),
  "skb buildSkb": ({ slab, cast }) => skb.buildSkb(slab, cast, 0, 4096, 0),
  "skb copyBits": ({ slab, skb: ref, bytes }) => skb.copyBits(slab, ref, 50, bytes, 20),
  "skb copyBitsWithin": (s) => skb.copyBitsWithin(s.slab, s.skb, 50, s.place(), 20),
  "skb storeBits": ({ slab, skb: ref, bytes }) => skb.storeBits(slab, ref, 50, bytes, 20),
  "skb checksumSkb": ({ slab, skb: ref }) => skb.checksumSkb(slab, ref, 0, 10, 0),
  "skb copySkb": ({ slab, skb: ref }) => skb.copySkb(slab, ref),
  "skb cowSkb": ({ slab, skb: ref, pool }) => skb.cowSkb(slab, ref, pool, 0),
  "skb linearizeSkb": ({ slab, skb: ref }) => skb.linearizeSkb(slab, ref),
  "skb pullTail": ({ slab, skb: ref }) => skb.pullTail(slab, ref, 1),
  "skb SkbSeq.next": ({ slab, skb: ref }) => {
    const seq = new skb.SkbSeq(slab);
    seq.start(ref, 60, 1);
    return seq.next();
  },
  "skb SkbView.fragData": (stand) => stand.view().fragData(0),
};

/** Must answer 0, -1 or false. */
export const REFUSES: Readonly<Record<string, Probe>> = {
  "core Areas.offsetOf": ({ host, ref }) => host.areas.offsetOf(ref) >= 0,
  "core Host.isReadable": ({ host, ref }) => host.isReadable(ref),
  "skb cloneFrame": (stand) => skb.cloneFrame(stand.host, stand.frame()),
  "skb mayPull": ({ slab, skb: ref }) => skb.mayPull(slab, ref, 61),
  "skb tryCoalesce": ({ slab, skb: ref }) => {
    const to = skb.allocSkb(slab, 1000, 0);
    if (to !== 0) skb.markForRecycle(slab, to);
    return to !== 0 && skb.tryCoalesce(slab, to, ref);
  },
  "skb XdpBuff.adjustTail": (stand) => stand.xdp().adjustTail(1),
};

/** Pages, and the head of a packet, are readable by their type: positions in them are all that these hand out or touch. */
export const HEAD_ONLY: readonly string[] = [
  "page-pool PagePool.allocVa",
  "skb allocSkb",
  "skb convertZcToFrame",
  "skb copySkbHead",
  "skb cowHead",
  "skb expandHead",
  "skb frameData",
  "skb groReceive",
  "skb groReceiveList",
  "skb GroTable.receive",
  "skb pullSkb",
  "skb pushSkb",
  "skb putSkb",
  "skb splitSkb",
  "skb XdpBuff.adjustHead",
  "skb XdpBuff.prepare",
];

/** References, lengths and counts go in and out; bytes do not. What sends them refuses in its own tests. */
export const NO_BYTES: readonly string[] = [
  "af-xdp AfXdpDriver.xdpXmit",
  "core Areas.refAt",
  "core Host.bufferBytes",
  "core Host.nodeOf",
  "devmem HeldTokens.add",
  "page-pool PagePool.alloc",
  "page-pool PagePool.allocFrag",
  "page-pool PagePool.allocNetmem",
  "page-pool PagePool.allocWait",
  "page-pool PagePool.dmaSyncForCpu",
  "page-pool PagePool.fragmentNetmem",
  "page-pool PagePool.freeVa",
  "page-pool PagePool.getDmaAddr",
  "page-pool PagePool.outside",
  "page-pool PagePool.put",
  "page-pool PagePool.putFrag",
  "page-pool PagePool.putFullPage",
  "page-pool PagePool.putNetmemBulk",
  "page-pool PagePool.putPage",
  "page-pool PagePool.putUnrefed",
  "page-pool PagePool.recycleDirect",
  "page-pool PagePool.refNetmem",
  "page-pool PagePool.touch",
  "page-pool PagePool.unrefNetmem",
  "sim-nic FrameTx.xmit",
  "skb addSkbFrag",
  "skb appendFragList",
  "skb buildSkbFromFrame",
  "skb buildSkbFromXdp",
  "skb cloneSkb",
  "skb convertBuffToFrame",
  "skb convertFrameToBuff",
  "skb FrameBulk.add",
  "skb frameHasFrags",
  "skb frameLen",
  "skb frameSharedInfoAt",
  "skb headroomOf",
  "skb isSkbCloned",
  "skb markForRecycle",
  "skb returnFrame",
  "skb returnFrameBulk",
  "skb returnFrameRxNapi",
  "skb SkbSeq.start",
  "skb SkbSlab.alloc",
  "skb SkbSlab.check",
  "skb SkbSlab.free",
  "skb SkbSlab.recordAt",
  "skb SkbView.fragList",
  "skb SkbView.fragRef",
  "skb SkbView.head",
  "skb SkbView.next",
  "skb SkbView.of",
  "skb tailroomOf",
  "skb trimSkb",
  "skb updateFrameFromBuff",
  "skb XdpBuff.addFrag",
  "xsk xskRcvZc",
  "xsk XskRings.post",
  "xsk XskRings.transmit",
  "xsk XskRings.transmitOne",
];

/** Bytes of their own, not the arena's. */
export const OTHER_BYTES: readonly string[] = [
  "linux BpfMap.get",
  "linux NativeBytes.byteLength",
  "linux NetlinkWriter.u8",
  "linux System.allocBytes",
  "linux XdpProgram.testRun",
];
