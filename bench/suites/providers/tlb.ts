/** What the CPU's own TLB makes of huge pages: random reads all over 512 MiB of buffers, each dependent on the last. */

import type { HugeBacking, PoolHandle } from "@netmem/core";
import { createHugeProvider, createModelBacking } from "@netmem/hugepage";
import { createHugeBacking, openArenaMap, openSystem, probeLinux } from "@netmem/linux";
import { createHost, createPagePool, type Host, PagePoolFlag } from "netmem";
import { loopRow } from "../../measure.ts";
import { AbsentError, type Row, type ScriptRow } from "../../suite.ts";

const CHUNK_SHIFT = 21;
const CHUNKS = 256;
const PAGES = CHUNKS * 512;
/** Bits of an offset into all chunks, whole words. */
const RANGE_MASK = (CHUNKS << CHUNK_SHIFT) - 4;
const CHUNK_MASK = (1 << CHUNK_SHIFT) - 1;

interface Subject {
  readonly i32: Int32Array;
  /** Arena byte offset of each chunk. */
  readonly chunkAt: Int32Array;
  at: number;
}

/** The same buffers at the same places over either backing, every page of them touched. */
function makeSubject(backingOf: (host: Host) => HugeBacking): Subject {
  const host = createHost({ arenaBytes: 2 ** 30 });
  const provider = createHugeProvider(host, { backing: backingOf(host), chunks: CHUNKS, fallback: false });
  host.providers.register(provider);
  const pool = createPagePool(host, {
    flags: PagePoolFlag.DmaMap | PagePoolFlag.DmaSyncDev | PagePoolFlag.AllowUnreadableNetmem,
    maxLenBytes: 4096,
    rxq: { ifindex: 1, queueIdx: 0, provider },
  }) satisfies PoolHandle;
  const refs = new Int32Array(PAGES);
  if (pool.allocBulk(refs, PAGES) !== PAGES) throw new Error("the pool is exhausted");
  const pages = refs.map((ref) => host.offsetOf(ref as never)).toSorted();
  for (const at of pages) host.i32[at >>> 2] = 0;
  return { i32: host.i32, chunkAt: pages.filter((_, n) => n % 512 === 0), at: 1 };
}

function tlbRow(name: string, backingOf: (host: Host) => HugeBacking): ScriptRow {
  return loopRow({
    name,
    unit: "ns/read",
    setup: () => makeSubject(backingOf),
    run: (subject, turns) => {
      const { i32, chunkAt } = subject;
      let at = subject.at;
      for (let i = 0; i < turns; i++) {
        at = (Math.imul(at, 1_664_525) + 1_013_904_223) | 0;
        const byte = (at >>> 3) & RANGE_MASK;
        at = (at + i32[(chunkAt[byte >>> CHUNK_SHIFT]! + (byte & CHUNK_MASK)) >>> 2]!) | 0;
      }
      subject.at = at;
      return at;
    },
  });
}

function thpBacking(host: Host): HugeBacking {
  const { systemCalls, thpBytes } = probeLinux();
  if (!systemCalls.available) throw new AbsentError(`system calls: ${systemCalls.reason}`);
  if (thpBytes !== 1 << CHUNK_SHIFT) throw new AbsentError("no transparent huge pages of 2 MiB");
  return createHugeBacking(openArenaMap(openSystem(), host), { kind: "thp" });
}

export const tlbRows: readonly Row[] = [tlbRow("tlb_read_4k", createModelBacking), tlbRow("tlb_read_2m", thpBacking)];
