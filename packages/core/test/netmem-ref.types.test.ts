import { expect, expectTypeOf, test } from "vitest";
import {
  asNetmemRef,
  asPageRef,
  isNetIov,
  isPage,
  type NetIovRef,
  type NetmemRef,
  type PageRef,
  type ReadableRef,
  returnNetmem,
  type UnreadableRef,
} from "../src/index.ts";
import { createCoreHost } from "./core-host.ts";

const { host } = createCoreHost();

/* Each function is compiled, never called: the directive above a line fails the type check when the line compiles. */

test("a page is readable; a net_iov is not known to be", () => {
  expectTypeOf<PageRef>().toExtend<ReadableRef>();
  expectTypeOf<PageRef>().toExtend<NetmemRef>();
  expectTypeOf<NetIovRef>().toExtend<NetmemRef>();
  expectTypeOf<NetIovRef>().not.toExtend<ReadableRef>();
  expectTypeOf<UnreadableRef>().toExtend<NetIovRef>();
  expectTypeOf<UnreadableRef>().not.toExtend<ReadableRef>();
  expectTypeOf<NetmemRef>().not.toExtend<ReadableRef>();
  expectTypeOf<number>().not.toExtend<NetmemRef>();
  expectTypeOf<0>().not.toExtend<NetmemRef>();
  expectTypeOf<PageRef | 0>().not.toExtend<NetmemRef>();
});

test("what may be 0 is no reference until it was compared", () => {
  const use = (): void => {
    const page = host.pages.allocPages(0);
    // @ts-expect-error an exhausted allocator returns 0
    host.offsetOf(page);
    // @ts-expect-error an exhausted allocator returns 0
    returnNetmem(host, page);
    if (page !== 0) expectTypeOf(page).toEqualTypeOf<PageRef>();
    if (page !== 0) host.offsetOf(page);
  };
  expect(use).toBeTypeOf("function");
});

test("a raw number, as from an Int32Array, is no reference until it was named one", () => {
  const use = (refs: Int32Array): void => {
    const raw = refs[0] ?? 0;
    // @ts-expect-error a number
    host.offsetOf(raw);
    // @ts-expect-error a number
    returnNetmem(host, raw);
    // @ts-expect-error zero
    host.offsetOf(0);
    // @ts-expect-error a typed-array element that may be missing
    asNetmemRef(refs[0]);
    returnNetmem(host, asNetmemRef(raw));
    host.offsetOf(asPageRef(raw));
  };
  expect(use).toBeTypeOf("function");
});

test("bytes are for readable references only", () => {
  const use = (ref: NetmemRef, niov: NetIovRef, gpu: UnreadableRef): void => {
    // @ts-expect-error any buffer
    host.offsetOf(ref);
    // @ts-expect-error a net_iov
    host.offsetOf(niov);
    // @ts-expect-error memory that the CPU cannot read
    host.offsetOf(gpu);
    // @ts-expect-error memory that the CPU cannot read
    host.copyOut(gpu, 0, 1);
    if (host.isReadable(ref)) host.offsetOf(ref);
    if (host.isReadable(niov)) expectTypeOf(niov).toExtend<ReadableRef>();
    if (isPage(ref)) host.offsetOf(ref);
    if (isNetIov(ref)) expectTypeOf(ref).toEqualTypeOf<NetIovRef>();
    returnNetmem(host, gpu);
  };
  expect(use).toBeTypeOf("function");
});

test("arithmetic makes a number again", () => {
  const use = (page: PageRef): void => {
    // @ts-expect-error page + 2 is a number
    returnNetmem(host, page + 2);
    returnNetmem(host, asPageRef(page + 2));
  };
  expect(use).toBeTypeOf("function");
});
