import { parentPort, workerData } from "node:worker_threads";
import { AddrConsumer, AddrProducer, DescConsumer, DescProducer, type XskRingLayout } from "../src/index.ts";

/** What the thread that plays the kernel gets. */
export interface KernelInput {
  readonly buffer: SharedArrayBuffer;
  readonly layouts: Record<"fill" | "completion" | "rx" | "tx", XskRingLayout>;
  readonly count: number;
}

/** Bytes of the packet that goes into a chunk: both ends know. */
export function lengthFor(addr: number, seq: number): number {
  return 1 + (((addr >>> 12) + seq * 7) % 3000);
}

/** Receives a packet into each chunk that was posted, completes each descriptor that was sent, until `count` of both. */
function serve({ buffer, layouts, count }: KernelInput): number {
  const i32 = new Int32Array(buffer);
  const fill = new AddrConsumer(i32, layouts.fill);
  const rx = new DescProducer(i32, layouts.rx);
  const tx = new DescConsumer(i32, layouts.tx);
  const completion = new AddrProducer(i32, layouts.completion);
  let received = 0;
  let completed = 0;
  while (received < count || completed < count) {
    const n = Math.min(fill.peek(48), rx.room(48));
    for (let k = 0; k < n; k++) rx.put(fill.low(k) + 256, 0, lengthFor(fill.low(k), received++), 0);
    rx.submit();
    fill.release(n);
    const sent = Math.min(tx.peek(48), completion.room(48));
    for (let k = 0; k < sent; k++) completion.put(i32[tx.at(k)]!, i32[tx.at(k) + 1]!);
    completed += sent;
    completion.submit();
    tx.release(sent);
  }
  return fill.corruptCount + rx.corruptCount + tx.corruptCount + completion.corruptCount;
}

if (parentPort !== null) parentPort.postMessage(serve(workerData as KernelInput));
