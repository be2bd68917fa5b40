import { describe, expect, test } from "vitest";
import { formatFailure, type InterleaveProgram } from "../../src/index.ts";
import { expectBug, expectCorrect, failsIn, pause } from "./expectations.ts";
import { Consumer, HEAD, Producer, RING_WORDS, SIZE, SLOTS, TAIL } from "./spsc-ring.ts";

class PlainHeadProducer extends Producer {
  protected override publish(slot: number, value: number): void {
    this.i32[slot] = value;
    this.i32[HEAD] = this.head;
  }
}

class SwappedProducer extends Producer {
  protected override publish(slot: number, value: number): void {
    Atomics.store(this.i32, HEAD, this.head);
    this.i32[slot] = value;
  }
}

class PlainHeadConsumer extends Consumer {
  protected override loadHead(): number {
    return this.i32[HEAD]!;
  }
}

class PlainTailConsumer extends Consumer {
  protected override release(): void {
    this.i32[TAIL] = this.tail;
  }
}

class EarlyTailConsumer extends Consumer {
  override consume(): number {
    const { i32, tail } = this;
    if (tail === this.loadHead()) return 0;
    this.tail = tail + 1;
    this.release();
    return i32[SLOTS + (tail & (SIZE - 1))]!;
  }
}

type Make<Side> = new (i32: Int32Array) => Side;

/** Sends 1..items through the ring, checks that they arrive in order. */
function transfer(
  items: number,
  Source: Make<Producer> = Producer,
  Sink: Make<Consumer> = Consumer,
): InterleaveProgram {
  return {
    words: RING_WORDS,
    names: { HEAD, TAIL, SLOT: [SLOTS, SIZE] },
    forbidRaces: ["SLOT"],
    threads: {
      producer: (i32) => {
        const ring = new Source(i32);
        for (let value = 1; value <= items; value++) while (!ring.produce(value)) pause();
      },
      consumer: (i32) => {
        const ring = new Sink(i32);
        for (let expected = 1; expected <= items; expected++) {
          let value = ring.consume();
          for (; value === 0; value = ring.consume()) pause();
          if (value !== expected) throw new Error(`expected ${expected}, got ${value}`);
        }
      },
    },
    check: ({ i32 }) => {
      if (i32[HEAD] !== items || i32[TAIL] !== items) throw new Error(`ended at ${i32[HEAD]}, ${i32[TAIL]}`);
    },
  };
}

describe("single producer, single consumer ring", () => {
  test("is correct: three entries through two slots", () => {
    expectCorrect("spsc ring, 3 entries", transfer(3));
  });

  test("is correct: five entries, every slot used again", () => {
    expectCorrect("spsc ring, 5 entries", transfer(5));
  });

  test("the same program explored twice gives the same report", () => {
    expect(expectCorrect("again", transfer(3))).toEqual(expectCorrect("again", transfer(3)));
  });

  test("bug: the head is published by a plain store", () => {
    const program = transfer(3, PlainHeadProducer);
    expectBug(program, "sc", "race");
    const failure = expectBug(program, "weak", "assertion");
    console.log(formatFailure(failure));
    expect(failsIn(program)).toBe("sc weak");
  });

  test("bug: the slot is written after the head", () => {
    const program = transfer(3, SwappedProducer);
    expectBug(program, "sc", "race");
    expect(failsIn({ ...program, forbidRaces: false })).toBe("sc tso weak");
  });

  test("bug: the head is read by a plain load", () => {
    const program = transfer(3, Producer, PlainHeadConsumer);
    expectBug(program, "sc", "race");
    expectBug(program, "weak", "assertion");
  });

  test("bug: the tail is published by a plain store; no schedule shows it, the race does", () => {
    const program = transfer(3, Producer, PlainTailConsumer);
    expectBug(program, "sc", "race");
    expect(failsIn(program)).toBe("sc");
  });

  test("bug: the tail is published before the slot is read", () => {
    const program = transfer(3, Producer, EarlyTailConsumer);
    expectBug({ ...program, forbidRaces: false }, "sc", "assertion");
    expect(failsIn({ ...program, forbidRaces: false })).toBe("sc tso weak");
  });
});
