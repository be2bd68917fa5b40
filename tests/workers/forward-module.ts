/** A worker of `forward.ts`: judges packets at random, checks every byte of what it consumes. */
import { PagePoolDriver } from "@netmem-examples/driver-page-pool";
import type { Host, SharedHost } from "@netmem/core";
import { type QueueWorkerContext, type QueueWorkerParts, XdpVerdict } from "@netmem/netdev";
import { attachNicQueue, type SharedNicQueueInput } from "@netmem/sim-nic";
import { asSkbRef, consumeSkb, copyBits, SkbView, type XdpBuff } from "@netmem/skb";
import { findPatternMismatch, Prng } from "@netmem/testing";
import { attachHost as attach } from "netmem";
import {
  type ForwardData,
  type ForwardResult,
  MAX_FRAME_BYTES,
  NUMBER_AT,
  PATTERN_AT,
  readNumber,
} from "./forward-input.ts";

const warnings: string[] = [];

export function attachHost(shared: SharedHost, params: { readonly name: string }): Host {
  return attach(shared, { ...params, onWarning: ({ code, message }) => warnings.push(`${code}: ${message}`) });
}

/** Looks at every packet that it consumes. */
class Consumer {
  wrong = 0;
  consumed = 0;
  private readonly context: QueueWorkerContext;
  private readonly view: SkbView;
  private readonly endings: Int32Array;
  private readonly bytes = new Uint8Array(MAX_FRAME_BYTES);

  constructor(context: QueueWorkerContext, endings: SharedArrayBuffer) {
    this.context = context;
    this.view = new SkbView(context.skbs);
    this.endings = new Int32Array(endings);
  }

  take(received: Int32Array, count: number): void {
    for (let n = 0; n < count; n++) this.consume(received[n]!);
  }

  private consume(raw: number): void {
    const { context, bytes } = this;
    const skb = asSkbRef(raw);
    const { len } = this.view.of(skb);
    copyBits(context.skbs, skb, 0, bytes, len);
    const number = readNumber(bytes, NUMBER_AT);
    if (findPatternMismatch(bytes, PATTERN_AT, len - PATTERN_AT, number) !== -1) this.wrong++;
    Atomics.add(this.endings, number, 1);
    consumeSkb(context.skbs, skb);
    this.consumed++;
  }
}

export function createWorker(context: QueueWorkerContext): QueueWorkerParts {
  const { host, queue, hardware } = context;
  const { peers, isCpu, seed, endings } = context.data as ForwardData;
  const prng = new Prng(seed);
  const targets = peers.map((peer) => context.target(peer));
  const consumer = new Consumer(context, endings);
  const program = (xdp: XdpBuff): number => {
    const way = prng.below(8);
    if (way === 0) return XdpVerdict.Drop;
    if (way <= 2) return XdpVerdict.Pass;
    if (way === 3 || targets.length === 0) return XdpVerdict.Tx;
    xdp.redirectIfindex = targets[prng.below(targets.length)]!;
    return XdpVerdict.Redirect;
  };
  const parts = {
    receive: (skbs: Int32Array, count: number): void => consumer.take(skbs, count),
    finish: (): ForwardResult => {
      return { wrong: consumer.wrong, consumed: consumer.consumed, warnings, refused: host.returnCounts.refused };
    },
  };
  if (isCpu) return parts;
  const port = attachNicQueue(host, hardware as SharedNicQueueInput);
  return { ...parts, driver: new PagePoolDriver(host, queue, port), port, program };
}
