import { parentPort, workerData } from "node:worker_threads";
import { VirtualClock } from "@netmem/testing";
import {
  asNetmemRef,
  attachHost,
  getNetmem,
  type Host,
  MemType,
  pageRefCount,
  putNetmem,
  type PageRef,
  refNetmem,
  returnNetmem,
  returnNetmemBulk,
  type SharedHost,
} from "../src/index.ts";

/** What the test hands to the thread. */
export interface ThreadInput {
  readonly shared: SharedHost;
  /** A page of an owner with room on its return stack. */
  readonly page: PageRef;
  /** A plain page. */
  readonly plain: PageRef;
}

/** What the thread saw. */
export interface ThreadReport {
  readonly pageCount: number;
  readonly byteFound: number;
  readonly codes: Record<string, string>;
  readonly holders: number;
}

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return "nothing was thrown";
}

function tryEverything(host: Host, { page, plain }: ThreadInput): Record<string, string> {
  return {
    returnNetmem: codeOf(() => returnNetmem(host, page)),
    returnNetmemBulk: codeOf(() => returnNetmemBulk(host, Int32Array.of(page), 1)),
    staleReturn: codeOf(() => returnNetmem(host, asNetmemRef(page + (1 << 21)))),
    lastPut: codeOf(() => putNetmem(host, plain)),
    allocPages: codeOf(() => host.pages.allocPages(0)),
    freePage: codeOf(() => host.pages.freePage(plain)),
    allocWords: codeOf(() => host.heap.allocWords(16)),
    claim: codeOf(() => host.owners.claim({ memType: MemType.PagePool, name: "thread", returnSlow: () => {} })),
    addArea: codeOf(() => host.areas.add({ name: "thread", count: 1, pageShift: 12 })),
  };
}

function report(input: ThreadInput): ThreadReport {
  const { page } = input;
  const host = attachHost(input.shared, { clock: new VirtualClock() });
  const codes = tryEverything(host, input);
  const at = host.offsetOf(page);
  const byteFound = host.u8[at] ?? -1;
  host.u8[at + 1] = byteFound + 1;
  getNetmem(host, page);
  refNetmem(host, page);
  return { pageCount: host.layout.pageCount, byteFound, codes, holders: pageRefCount(host, page) };
}

parentPort?.postMessage(report(workerData as ThreadInput));
