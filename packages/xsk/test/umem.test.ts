import { Prng } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { checkUmemReg, createUmem, maxHeadroomBytes, UmemFlag, type UmemReg } from "../src/index.ts";
import { codeOf, makeHost, makeUmem } from "./fixture.ts";

const LIMITS = { pageSizeBytes: 4096 };
const GOOD: UmemReg = {
  addr: 8192,
  bytes: 65536,
  chunkSizeBytes: 2048,
  headroomBytes: 0,
  flags: 0,
  txMetadataBytes: 0,
};
const says = (change: Partial<UmemReg>, limits: Partial<{ maxLockedBytes: number }> = {}): string =>
  codeOf(() => checkUmemReg({ ...GOOD, ...change }, { ...LIMITS, ...limits }));
const INVALID = "ERR_NETMEM_INVALID_PARAM EINVAL";
const { UnalignedChunk, TxMetadataLen } = UmemFlag;

describe("registration", () => {
  test("5.1 chunk sizes, flags, address and length, each refused by name", () => {
    expect(says({})).toBe("no error");
    for (const chunkSizeBytes of [0, 1024, 2047, 8192, 2048.5]) {
      expect(says({ chunkSizeBytes })).toBe(`${INVALID} chunkSizeBytes`);
    }
    expect(says({ flags: 8 })).toBe(`${INVALID} flags`);
    expect(says({ chunkSizeBytes: 3000 })).toBe(`${INVALID} chunkSizeBytes`);
    expect(says({ chunkSizeBytes: 3000, flags: UnalignedChunk })).toBe("no error");
    expect(says({ addr: 100 })).toBe(`${INVALID} addr`);
    expect(says({ bytes: 2 ** 64 })).toBe(`${INVALID} bytes`);
    expect(says({ bytes: 0 })).toBe(`${INVALID} bytes`);
    expect(says({ bytes: 2047 })).toBe(`${INVALID} bytes`);
    expect(says({ bytes: 2 ** 45 })).toBe(`${INVALID} bytes`);
  });

  test("5.1 the checks come in the kernel's order", () => {
    const wrong = { addr: 1, bytes: 100, chunkSizeBytes: 100, headroomBytes: -1, flags: 64 };
    expect(says(wrong)).toBe(`${INVALID} chunkSizeBytes`);
    expect(says({ ...wrong, chunkSizeBytes: 2048 })).toBe(`${INVALID} flags`);
    expect(says({ ...wrong, chunkSizeBytes: 2048, flags: 0 })).toBe(`${INVALID} addr`);
    expect(says({ ...wrong, chunkSizeBytes: 2048, flags: 0, addr: 0 })).toBe(`${INVALID} bytes`);
    expect(says({ ...wrong, chunkSizeBytes: 2048, flags: 0, addr: 0, bytes: 2048 })).toBe(`${INVALID} headroomBytes`);
  });

  test("#256 a rest is refused for aligned chunks, and ignored for others", () => {
    const host = makeHost();
    expect(says({ bytes: 65536 + 100 })).toBe(`${INVALID} bytes`);
    const umem = makeUmem(host, { ownBytes: 65536 + 1000, chunkSizeBytes: 3000, flags: UnalignedChunk });
    expect(umem.chunkCount).toBe(22);
    umem.dispose();
  });

  test("#257 headroom up to 1344 of 2048 and 3392 of 4096", () => {
    expect([maxHeadroomBytes(2048), maxHeadroomBytes(4096)]).toEqual([1344, 3392]);
    expect(says({ headroomBytes: 1344 })).toBe("no error");
    expect(says({ headroomBytes: 1345 })).toBe(`${INVALID} headroomBytes`);
    expect(says({ chunkSizeBytes: 4096, headroomBytes: 3392 })).toBe("no error");
    expect(says({ chunkSizeBytes: 4096, headroomBytes: 3393 })).toBe(`${INVALID} headroomBytes`);
  });

  test("#259 TX metadata of 16 to 248 bytes, in eights, with the flag only", () => {
    const flags = TxMetadataLen;
    for (let txMetadataBytes = 16; txMetadataBytes <= 248; txMetadataBytes += 8) {
      expect(says({ flags, txMetadataBytes })).toBe("no error");
    }
    for (const txMetadataBytes of [0, 8, 20, 249, 256]) {
      expect(says({ flags, txMetadataBytes })).toBe(`${INVALID} txMetadataBytes`);
      expect(says({ txMetadataBytes })).toBe("no error");
    }
  });

  test("#260 more than may be locked: ENOBUFS", () => {
    expect(says({}, { maxLockedBytes: 65535 })).toBe("ERR_NETMEM_XSK_MEMLOCK ENOBUFS bytes");
    expect(says({}, { maxLockedBytes: 65536 })).toBe("no error");
    expect(codeOf(() => createUmem(makeHost(), { maxLockedBytes: 4096 }))).toContain("ENOBUFS");
  });
});

describe("memory", () => {
  test("by default every packet page is a chunk, and an address a shift away from its reference", () => {
    const host = makeHost();
    const umem = createUmem(host);
    const page = host.pages.allocPages(0);
    if (page === 0) throw new Error("no page");
    expect([umem.chunkCount, umem.frames]).toEqual([host.pages.totalPageCount, null]);
    expect(umem.geometry.startOf((page >>> 1) - umem.firstIdx)).toBe(host.offsetOf(page) - umem.offset);
    host.pages.freePage(page);
  });

  test("smaller and unaligned chunks are readable net_iovs of their own, at their own places", () => {
    const host = makeHost();
    // The heap keeps the pages that it cut small blocks from.
    makeUmem(host).dispose();
    makeUmem(host, { chunkSizeBytes: 2048 }).dispose();
    const free = host.pages.freePageCount();
    for (const params of [
      { chunkSizeBytes: 2048 },
      { chunkSizeBytes: 4096 },
      { chunkSizeBytes: 3000, flags: UnalignedChunk },
      { chunkSizeBytes: 4001, flags: UnalignedChunk },
    ]) {
      const umem = makeUmem(host, params);
      const refs = new Int32Array(umem.chunkCount);
      expect(umem.frames!.allocBulk(refs, 100)).toBe(umem.chunkCount);
      for (const [n, value] of refs.entries()) {
        const ref = value as never;
        expect([ref & 1, host.isReadable(ref)]).toEqual([1, true]);
        expect(host.offsetOf(ref)).toBe(umem.offset + n * umem.chunkSizeBytes);
        expect(host.bufferBytes(ref)).toBe(umem.chunkSizeBytes);
      }
      for (const value of refs) umem.frames!.put(value as never, -1, false);
      umem.dispose();
    }
    expect(host.pages.freePageCount()).toBe(free);
  });

  test("a window must lie in the packet pages", () => {
    const host = makeHost();
    const first = host.layout.firstPageIdx * 4096;
    expect(codeOf(() => createUmem(host, { window: { offset: 0, bytes: 4096 } }))).toContain("window");
    expect(codeOf(() => createUmem(host, { window: { offset: first, bytes: 2 ** 30 } }))).toContain("window");
    expect(codeOf(() => createUmem(host, { ownBytes: 4096, window: { offset: first, bytes: 4096 } }))).toContain("own");
    const umem = createUmem(host, { window: { offset: first + 4096, bytes: 8 * 4096 } });
    expect([umem.offset, umem.chunkCount]).toEqual([first + 4096, 8]);
    umem.dispose();
  });

  test("without memory for the states of its chunks it holds nothing", () => {
    const host = makeHost();
    const block = host.pages.allocPages(2);
    if (block === 0) throw new Error("no block");
    while (host.pages.allocPages(0) !== 0);
    host.pages.freePage(block);
    expect(codeOf(() => createUmem(host))).toContain("ERR_NETMEM_NO_MEMORY");
    expect(host.pages.freePageCount()).toBe(4);
  });

  test("frames still with users keep the UMEM's own memory", () => {
    const host = makeHost();
    const umem = makeUmem(host);
    const free = host.pages.freePageCount();
    const ref = umem.frames!.allocNetmem();
    if (ref === 0) throw new Error("no frame");
    umem.dispose();
    expect(host.pages.freePageCount()).toBe(free);
    umem.frames!.returnSlow(ref);
    expect(host.pages.freePageCount()).toBeGreaterThanOrEqual(free + 16);
  });

  test("the geometry agrees with plain arithmetic on 64-bit addresses", () => {
    const prng = new Prng(11);
    const host = makeHost();
    for (const params of [
      { chunkSizeBytes: 4096 },
      { chunkSizeBytes: 2048, flags: TxMetadataLen, txMetadataBytes: 16 },
      { chunkSizeBytes: 3000, flags: UnalignedChunk | TxMetadataLen, txMetadataBytes: 24 },
    ]) {
      const { geometry } = makeUmem(host, params);
      const near = [0, 16, 24, 4080, 4096, 65536, 2 ** 31, 2 ** 32, 2 ** 48, 2 ** 52, 2 ** 63];
      for (let n = 0; n < 20_000; n++) {
        const base = near[prng.below(near.length)]! + prng.below(2) * prng.below(65536);
        const addr = BigInt.asUintN(64, BigInt(base) + BigInt(prng.below(40) - 20));
        const len = prng.below(3) === 0 ? prng.below(5000) : prng.below(40);
        const options = prng.below(5) === 0 ? prng.below(8) : 0;
        const low = Number(BigInt.asIntN(32, addr));
        const high = Number(BigInt.asIntN(32, addr >> 32n));
        const seen = geometry.txOffset(low, high, len, options);
        expect([addr, len, options, seen]).toEqual([addr, len, options, expectedOffset(geometry, addr, len, options)]);
      }
    }
  });
});

function expectedOffset(
  g: { isAligned: boolean; bytes: number; chunkSizeBytes: number; txMetadataBytes: number },
  addr: bigint,
  len: number,
  options: number,
): number {
  const size = BigInt(g.chunkSizeBytes);
  const meta = BigInt(g.txMetadataBytes);
  const data = g.isAligned ? addr : (addr & 0xffffffffffffn) + (addr >> 48n);
  const from = BigInt.asUintN(64, data - meta);
  const all = BigInt(len) + meta;
  if (len === 0 || (options & ~3) !== 0 || from >= BigInt(g.bytes)) return -1;
  if (g.isAligned ? (from % size) + all > size : all > size || from + all > BigInt(g.bytes)) return -1;
  return Number(data);
}
