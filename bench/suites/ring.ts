/** Rings and the inbox: the work itself on one thread, and the way to another thread. */

import { makeRef } from "@netmem/core";
import { createSpscRing, Inbox, INBOX_WORDS, InboxProducer, SpscConsumer, SpscProducer } from "@netmem/ring";
import { loopRow } from "../measure.ts";
import type { ScriptRow, Suite } from "../suite.ts";
import { BURST } from "./ring/thread-input.ts";
import { createWords, twoThreadRows } from "./ring/two-threads.ts";

function newEnds(): { producer: SpscProducer; consumer: SpscConsumer; refs: Int32Array } {
  const words = createWords();
  const at = createSpscRing(words, 256);
  return {
    producer: new SpscProducer(words.i32, at),
    consumer: new SpscConsumer(words.i32, at),
    refs: Int32Array.from({ length: BURST }, (_, n) => n + 1),
  };
}

const spscBatch = loopRow({
  name: "spsc_batch64",
  unit: "ns/entry",
  opsPerTurn: BURST,
  setup: newEnds,
  run: ({ producer, consumer, refs }, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      producer.produceBatch(refs, 0, BURST);
      sum = (sum + consumer.consumeBatch(refs, 0, BURST) + refs[i & 63]!) | 0;
    }
    return sum;
  },
});

const spscSingle = loopRow({
  name: "spsc_single",
  unit: "ns/entry",
  setup: newEnds,
  run: ({ producer, consumer }, turns) => {
    let sum = 0;
    for (let i = 0; i < turns; i++) {
      producer.push(i | 1);
      producer.publish();
      sum = (sum + consumer.take()) | 0;
      consumer.release();
    }
    return sum;
  },
});

/** 64 references into an inbox and out again; what its ring cannot take goes over the overflow list. */
function inboxRow(name: string, ringSize: number): ScriptRow {
  return loopRow({
    name,
    unit: "ns/entry",
    opsPerTurn: BURST,
    setup: () => {
      const words = createWords();
      const at = words.heap.allocWords(INBOX_WORDS);
      const linkAt = words.heap.allocWords(BURST + 1);
      return {
        inbox: new Inbox(words.i32, at, linkAt),
        worker: new InboxProducer(words, at, 0, linkAt, { ringSize }),
        refs: Int32Array.from({ length: BURST }, (_, n) => makeRef(n + 1, 0, 0)),
      };
    },
    run: ({ inbox, worker, refs }, turns) => {
      let sum = 0;
      for (let i = 0; i < turns; i++) {
        worker.putBatch(refs, 0, BURST);
        for (let held = 0; held < BURST;) held += inbox.take(refs, held, BURST - held);
        sum = (sum + refs[i & 63]!) | 0;
      }
      return sum;
    },
  });
}

export const ringSuite: Suite = {
  name: "ring",
  rows: [spscBatch, spscSingle, inboxRow("inbox_batch64", 256), inboxRow("inbox_overflow64", 1), ...twoThreadRows],
  ratios: [
    { name: "batch_vs_single", of: ["spsc_batch64", "spsc_single"] },
    { name: "overflow_vs_ring", of: ["inbox_overflow64", "inbox_batch64"] },
    { name: "spsc_vs_postmessage", of: ["spsc_handover64", "postmessage_handover64"] },
  ],
};
