import { parentPort, workerData } from "node:worker_threads";
import { VirtualClock } from "@netmem/testing";
import {
  asNetmemRef,
  attachHost,
  getNetmem,
  type Host,
  MemType,
  OWNER_ORDER0,
  pageRefCount,
  putNetmem,
  type PageRef,
  refNetmem,
  returnNetmem,
  returnNetmemBulk,
  returnNetmemRxNapi,
  type SharedHost,
} from "../src/index.ts";
import { fakeProvider } from "./fake-provider.ts";

/** What the test hands to the thread. */
export interface ThreadInput {
  readonly shared: SharedHost;
  /** A page of an owner with room on its return stack. */
  readonly page: PageRef;
  /** A plain page. */
  readonly plain: PageRef;
  readonly ownerId: number;
}

/** What the thread saw. */
export interface ThreadReport {
  readonly pageCount: number;
  readonly byteFound: number;
  readonly codes: Record<string, string>;
  readonly holders: number;
  readonly workerId: number;
  /** Numbers of a type and a provider that the creator has, and of a type that it has not. */
  readonly numbers: readonly number[];
  readonly creatorsOwner: string;
  readonly ownerId: number;
  readonly areaIdx: number;
}

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return "nothing was thrown";
}

const fakeOwner = { memType: MemType.PagePool, name: "of the thread", returnSlow: (): void => {} };

function tryEverything(host: Host, { page, plain }: ThreadInput): Record<string, string> {
  return {
    returnNetmem: codeOf(() => returnNetmem(host, page)),
    returnNetmemBulk: codeOf(() => returnNetmemBulk(host, Int32Array.of(page), 1)),
    staleReturn: codeOf(() => returnNetmem(host, asNetmemRef(page + (1 << 21)))),
    lastPut: codeOf(() => putNetmem(host, plain)),
    allocPages: codeOf(() => host.pages.allocPages(0)),
    freePage: codeOf(() => host.pages.freePage(plain)),
    allocWords: codeOf(() => host.heap.allocWords(16)),
    rxNapi: codeOf(() => returnNetmemRxNapi(host, page)),
    pageAllocator: codeOf(() => host.owners.claimId(OWNER_ORDER0, fakeOwner)),
    foreignArea: codeOf(() => host.areas.remove(host.areas.of(host.layout.pageCount)!)),
    unboundArea: codeOf(() => getNetmem(host, host.areas.refAt(host.areas.of(host.layout.pageCount)!, 0))),
    detach: codeOf(() => host.detach()),
  };
}

function report(input: ThreadInput): ThreadReport {
  const { page } = input;
  const host = attachHost(input.shared, { clock: new VirtualClock(), name: "thread 1" });
  const creatorsOwner = host.owners.describe(input.ownerId);
  const numbers = [host.memTypes.numberOf("own type"), host.providers.register(fakeProvider("own provider")), 0];
  numbers[2] = host.memTypes.numberOf("type of the thread");
  const ownerId = host.owners.claim(fakeOwner);
  const area = host.areas.add({ name: "of the thread", count: 1, pageShift: 12 });
  const codes = tryEverything(host, input);
  const at = host.offsetOf(page);
  const byteFound = host.u8[at] ?? -1;
  host.u8[at + 1] = byteFound + 1;
  getNetmem(host, page);
  refNetmem(host, page);
  const seen = { pageCount: host.layout.pageCount, byteFound, codes, holders: pageRefCount(host, page) };
  return { ...seen, workerId: host.workerId, numbers, creatorsOwner, ownerId, areaIdx: area.firstIdx };
}

parentPort?.postMessage(report(workerData as ThreadInput));
