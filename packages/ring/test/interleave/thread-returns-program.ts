import {
  GEN_ONE,
  type Host,
  META_GEN_MASK,
  META_OUT,
  META_STATE_MASK,
  type MemOwner,
  type NetmemRef,
  NetmemState,
  ownerTag,
  REF_MASK,
  reopen,
  refuseReturn,
} from "@netmem/core";
import type { InterleaveProgram, ThreadBody } from "@netmem/testing";
import { ThreadReturns } from "../../src/index.ts";
import { pause } from "./expectations.ts";
import { hostOver, INBOX, layOut, LINK, refOf, WORDS } from "./host-over.ts";

const POOLED = ownerTag(0, NetmemState.Pooled);
const LIVE_MASK = META_STATE_MASK | META_GEN_MASK;

/** An owner as small as can be: what is live becomes "pooled", with the next generation. */
export class TinyOwner implements MemOwner {
  readonly memType = 9;
  readonly name = "tiny";
  readonly home: number[] = [];
  host: Host | null = null;

  returnSlow(ref: NetmemRef): void {
    const { i32 } = this.host!;
    const idx = ref >>> 1;
    if ((i32[idx]! & LIVE_MASK) !== META_OUT) throw new Error("not live");
    i32[idx] = POOLED | (((ref + GEN_ONE) & REF_MASK) >>> 21);
    this.home.push(idx);
  }

  returnRemote(refs: Int32Array, from: number, _end: number, worker: number): number {
    const ref = refs[from]! as NetmemRef;
    reopen(this.host!, ref);
    try {
      this.returnSlow(ref);
    } catch {
      refuseReturn(this.host!, ref, worker);
    }
    return 1;
  }
}

export interface Context {
  readonly owner: TinyOwner;
  readonly hosts: readonly Host[];
  readonly returns: readonly ThreadReturns[];
}

export type Body = ThreadBody<Context>;

/** A worker as it ships: a run of references, then the flush. */
export const giveBack =
  (worker: number, ...indices: readonly number[]): Body =>
  (_i32, { returns }) => {
    const refs = Int32Array.from(indices, refOf);
    const taken = returns[worker]!.takeRun(refs, 0, refs.length);
    returns[worker]!.flush();
    return taken;
  };

/** The owner empties its inbox until so many entries came; "home / refused". */
export const collect =
  (entries: number): Body =>
  (_i32, { owner, hosts, returns }) => {
    const { returnCounts } = hosts[0]!;
    while (returnCounts.delivered < entries) if (returns[0]!.drain() === 0) pause();
    returns[0]!.drain();
    return `${owner.home.sort((a, b) => a - b).join()} / ${returnCounts.refused}`;
  };

export function program(
  ringSize: number,
  threads: Readonly<Record<string, Body>>,
  wanted: string,
): InterleaveProgram<Context> {
  return {
    words: WORDS,
    names: { META: [1, 3], LINK: [LINK + 1, 3], INBOX: [INBOX, 80] },
    setup: (i32) => {
      layOut(i32, ringSize);
      const owner = new TinyOwner();
      const hosts = [0, 1, 2].map((id) => hostOver(i32, id, id === 0 ? owner : null));
      owner.host = hosts[0]!;
      const returns = hosts.map((host) => new ThreadReturns(host));
      returns[0]!.drain();
      return { owner, hosts, returns };
    },
    threads,
    check: ({ results }) => {
      if (results["owner"] !== wanted) throw new Error(`wanted ${wanted}, got ${String(results["owner"])}`);
    },
  };
}

/** Until buffer 1 is home. */
export const collectUntilHome: Body = (_i32, { owner, hosts, returns }) => {
  while (owner.home.length === 0) if (returns[0]!.drain() === 0) pause();
  returns[0]!.drain();
  return `${owner.home.join()} / ${hosts[0]!.returnCounts.refused}`;
};

/** Home once; what came later was refused, or is refused when the owner looks again. */
export function expectOnce({ results }: { readonly results: Readonly<Record<string, unknown>> }): void {
  if (!["1 / 0", "1 / 1"].includes(String(results["owner"]))) throw new Error(String(results["owner"]));
}
