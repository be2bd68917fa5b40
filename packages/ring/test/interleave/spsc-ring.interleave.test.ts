import type { InterleaveProgram } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import {
  HEAD,
  initSpscWords,
  loadHead,
  loadTail,
  publishTail,
  releaseHead,
  SIZE,
  SLOTS,
  TAIL,
} from "../../src/spsc-ring-words.ts";
import { SpscConsumer, SpscProducer } from "../../src/spsc-ring.ts";
import { expectBug, expectCorrect, failsIn, pause, plainLoad, plainStore, withAtomics } from "./expectations.ts";

const NEAR_WRAP = 0xfffffffe | 0;

interface Transfer {
  readonly entries: number;
  readonly size: number;
  readonly startCount?: number;
  /** Entries per publication, and per release. */
  readonly produceBatch?: number;
  readonly consumeBatch?: number;
}

type Send = (i32: Int32Array, transfer: Transfer) => void;
type Receive = (i32: Int32Array, transfer: Transfer, expectNext: (value: number) => void) => void;

const send: Send = (i32, { entries, produceBatch = 1 }) => {
  const ring = new SpscProducer(i32, 0);
  const values = Int32Array.from({ length: entries }, (_, n) => n + 1);
  for (let sent = 0; sent < entries;) {
    const taken = ring.produceBatch(values, sent, Math.min(produceBatch, entries - sent));
    if (taken === 0) pause();
    sent += taken;
  }
};

const sendSingly: Send = (i32, { entries }) => {
  const ring = new SpscProducer(i32, 0);
  for (let value = 1; value <= entries; value++) {
    while (!ring.push(value)) pause();
    ring.publish();
  }
};

const receive: Receive = (i32, { entries, consumeBatch = 1 }, expectNext) => {
  const ring = new SpscConsumer(i32, 0);
  const got = new Int32Array(consumeBatch);
  for (let received = 0; received < entries;) {
    const count = ring.consumeBatch(got, 0, consumeBatch);
    if (count === 0) pause();
    for (let n = 0; n < count; n++) expectNext(got[n]!);
    received += count;
  }
};

const receiveSingly: Receive = (i32, { entries }, expectNext) => {
  const ring = new SpscConsumer(i32, 0);
  for (let received = 0; received < entries; received++) {
    let value = ring.take();
    for (; value === 0; value = ring.take()) pause();
    ring.release();
    expectNext(value);
  }
};

/** Entries 1, 2, ... from one thread to another. Everything that is not ordered by Atomics is a failure. */
function program(transfer: Transfer, sender = send, receiver = receive): InterleaveProgram {
  const { entries, size, startCount = 0 } = transfer;
  return {
    words: SLOTS + size,
    names: { TAIL, HEAD, SIZE, SLOT: [SLOTS, size] },
    forbidRaces: true,
    setup: (i32): undefined => {
      initSpscWords(i32, 0, size, startCount);
    },
    threads: {
      producer: (i32) => sender(i32, transfer),
      consumer: (i32) => {
        let next = 1;
        receiver(i32, transfer, (value) => {
          if (value !== next++) throw new Error(`expected ${next - 1}, got ${value}`);
        });
      },
    },
    check: ({ i32 }) => {
      const end = (startCount + entries) | 0;
      if (i32[TAIL] !== end || i32[HEAD] !== end) throw new Error(`ended at ${i32[TAIL]}, ${i32[HEAD]}`);
    },
  };
}

describe("the SPSC ring is correct in every order of its accesses", () => {
  test("one by one: five entries through two slots, counts wrapping", () => {
    expectCorrect(
      "spsc 5 by 1, 2 slots",
      program({ entries: 5, size: 2, startCount: NEAR_WRAP }, sendSingly, receiveSingly),
    );
  });

  test("in batches: two, three and four slots' worth, counts wrapping", () => {
    const startCount = NEAR_WRAP;
    expectCorrect(
      "spsc 6 by 3/2, 2 slots",
      program({ entries: 6, size: 2, startCount, produceBatch: 3, consumeBatch: 2 }),
    );
    expectCorrect(
      "spsc 7 by 3/4, 4 slots",
      program({ entries: 7, size: 4, startCount, produceBatch: 3, consumeBatch: 4 }),
    );
    expectCorrect("spsc 4 by 2/2, 1 slot", program({ entries: 4, size: 1, produceBatch: 2, consumeBatch: 2 }));
  });

  test("through two rings and a thread between them (3 threads)", () => {
    const size = 1;
    const second = 2;
    const transfer = { entries: 2, size };
    const forward = (i32: Int32Array): void => {
      const out = new SpscProducer(i32, second);
      receive(i32, transfer, (value) => {
        while (!out.push(value * 10)) pause();
        out.publish();
      });
    };
    expectCorrect("spsc chain of 3 threads", {
      words: SLOTS + second + size,
      names: {
        TAIL,
        HEAD,
        TAIL2: second + TAIL,
        HEAD2: second + HEAD,
        SLOT: [SLOTS, size],
        SLOT2: [SLOTS + size, size],
      },
      forbidRaces: true,
      setup: (i32): undefined => {
        initSpscWords(i32, 0, size, 0);
        initSpscWords(i32, second, size, NEAR_WRAP);
      },
      threads: {
        first: (i32) => send(i32, transfer),
        middle: forward,
        last: (i32) => {
          const ring = new SpscConsumer(i32, second);
          const got = new Int32Array(2);
          const all: number[] = [];
          while (all.length < 2) {
            const count = ring.consumeBatch(got, 0, 2);
            if (count === 0) pause();
            all.push(...got.subarray(0, count));
          }
          return all.join();
        },
      },
      check: ({ results }) => expect(results["last"]).toBe("10,20"),
    });
  });
});

describe("bugs that the explorer finds in the SPSC ring", () => {
  const transfer: Transfer = { entries: 3, size: 2 };

  test("the tail is published by a plain store", () => {
    const broken = program(transfer, (i32, transfer) => withAtomics(plainStore(TAIL), () => send(i32, transfer)));
    expectBug(broken, "sc", "race");
    expectBug({ ...broken, forbidRaces: false }, "weak", "assertion");
    expect(failsIn(broken)).toBe("weak");
  });

  test("the tail is read by a plain load", () => {
    const broken = program(transfer, send, (i32, transfer, next) =>
      withAtomics(plainLoad(TAIL), () => receive(i32, transfer, next)),
    );
    expectBug(broken, "sc", "race");
    expectBug({ ...broken, forbidRaces: false }, "weak", "assertion");
  });

  test("the head is released by a plain store, or read by a plain load: races", () => {
    const release = program(transfer, send, (i32, transfer, next) =>
      withAtomics(plainStore(HEAD), () => receive(i32, transfer, next)),
    );
    expectBug(release, "sc", "race");
    const look = program(transfer, (i32, transfer) => withAtomics(plainLoad(HEAD), () => send(i32, transfer)));
    expectBug(look, "sc", "race");
  });

  test("the slot is filled after the tail is published", () => {
    const swapped = program(transfer, (i32, { entries, size }) => {
      for (let sent = 0; sent < entries; sent++) {
        while (sent - loadHead(i32, 0) === size) pause();
        publishTail(i32, 0, sent + 1);
        i32[SLOTS + (sent & (size - 1))] = sent + 1;
      }
    });
    expectBug(swapped, "sc", "race");
    expectBug({ ...swapped, forbidRaces: false }, "sc", "assertion");
    expect(failsIn(swapped)).toBe("sc tso weak");
  });

  test("the head is released before the slot is read", () => {
    const early = program(transfer, send, (i32, { entries, size }, next) => {
      for (let received = 0; received < entries; received++) {
        while (loadTail(i32, 0) === received) pause();
        releaseHead(i32, 0, received + 1);
        next(i32[SLOTS + (received & (size - 1))]!);
      }
    });
    expectBug(early, "sc", "assertion");
    expect(failsIn(early)).toBe("sc tso weak");
  });

  test("the counts are compared without wrapping", () => {
    const unwrapped = program({ ...transfer, startCount: NEAR_WRAP }, (i32, { entries, size }) => {
      let tail = loadTail(i32, 0) >>> 0;
      for (let value = 1; value <= entries; value++) {
        while (tail === (loadHead(i32, 0) >>> 0) + size) pause();
        i32[SLOTS + (tail & (size - 1))] = value;
        tail = (tail + 1) >>> 0;
        publishTail(i32, 0, tail);
      }
    });
    expectBug(unwrapped, "sc", "race");
    expect(failsIn(unwrapped)).toBe("sc tso weak");
  });
});
