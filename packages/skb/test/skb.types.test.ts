import type { Host, NetmemRef, PageRef, UnreadableRef } from "@netmem/core";
import { expect, expectTypeOf, test } from "vitest";
import {
  buildSkb,
  consumeSkb,
  cloneSkb,
  type FrameRef,
  returnFrame,
  type SkbRef,
  type SkbSlab,
  type SkbView,
  type XdpBuff,
} from "../src/index.ts";

/* Each function is compiled, never called: the directive above a line fails the type check when the line compiles. */

test("a head is readable, a fragment is anything", () => {
  const use = (slab: SkbSlab, xdp: XdpBuff, any: NetmemRef, gpu: UnreadableRef, page: PageRef): void => {
    buildSkb(slab, page, 0, 4096, 0);
    // @ts-expect-error any buffer
    buildSkb(slab, any, 0, 4096, 0);
    // @ts-expect-error memory that the CPU cannot read
    buildSkb(slab, gpu, 0, 4096, 0);
    // @ts-expect-error memory that the CPU cannot read
    xdp.prepare(gpu, 0, 0, 0);
    xdp.addFrag(gpu, 0, 1, 1);
  };
  expect(use).toBeTypeOf("function");
});

test("a fragment's reference reaches no byte accessor until it was narrowed", () => {
  const use = (host: Host, view: SkbView): void => {
    const ref = view.fragRef(0);
    // @ts-expect-error any buffer
    host.offsetOf(ref);
    // @ts-expect-error any buffer
    host.copyOut(ref, 0, 1);
    if (host.isReadable(ref)) host.offsetOf(ref);
  };
  expect(use).toBeTypeOf("function");
});

test("skbs, frames and buffers are not each other, and 0 is none of them", () => {
  const use = (host: Host, slab: SkbSlab, skb: SkbRef, frame: FrameRef, page: PageRef): void => {
    // @ts-expect-error a frame
    consumeSkb(slab, frame);
    // @ts-expect-error a page
    consumeSkb(slab, page);
    // @ts-expect-error an skb
    returnFrame(host, skb);
    // @ts-expect-error a number
    consumeSkb(slab, 5);
    // @ts-expect-error the slab may be full
    consumeSkb(slab, cloneSkb(slab, skb));
  };
  expect(use).toBeTypeOf("function");
  expectTypeOf<SkbRef>().not.toExtend<NetmemRef>();
  expectTypeOf<SkbRef>().not.toExtend<FrameRef>();
});
