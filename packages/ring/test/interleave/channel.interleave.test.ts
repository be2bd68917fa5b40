import type { Host } from "@netmem/core";
import type { InterleaveProgram, ThreadBody } from "@netmem/testing";
import { describe, test } from "vitest";
import { CLOSED, RECEIVER, RING, SENDER } from "../../src/channel-words.ts";
import { ChannelReceiver, ChannelSender } from "../../src/index.ts";
import { initSpscWords, PUSHED, SLOTS, TAIL } from "../../src/spsc-ring-words.ts";
import { expectBug, expectCorrect, pause, plainStore, withAtomics } from "./expectations.ts";
import { refOf } from "./host-over.ts";

/*
 *  1 ... 3   link words of the indices 1 to 3
 *  4 ...     the channel
 */
const CHANNEL = 4;
const WORDS = CHANNEL + RING + SLOTS + 2;

type Body = ThreadBody<undefined>;

function hostOver(i32: Int32Array, workerId: number): Host {
  return { i32, workerId, linkAt: 0 } as unknown as Host;
}

/** Worker 1, which took the buffers from a channel before, passes them on. */
const send: Body = (i32) => {
  const sender = new ChannelSender(hostOver(i32, 1), CHANNEL);
  for (const idx of [1, 2]) {
    while (!sender.send(refOf(idx))) pause();
    sender.flush();
  }
};

/** Worker 2 takes them. */
const receive: Body = (i32) => {
  const receiver = new ChannelReceiver(hostOver(i32, 2), CHANNEL);
  const got: number[] = [];
  const into = new Int32Array(2);
  while (got.length < 2) {
    const taken = receiver.receive(into, 2);
    if (taken === 0) pause();
    for (let n = 0; n < taken; n++) got.push(into[n]! >> 1);
  }
  return got.join();
};

function program(size: 1 | 2, sender: Body = send): InterleaveProgram {
  return {
    words: WORDS,
    names: {
      STAMP: [1, 3],
      SENDER: CHANNEL + SENDER,
      RECEIVER: CHANNEL + RECEIVER,
      CLOSED: CHANNEL + CLOSED,
      PUSHED: CHANNEL + RING + PUSHED,
    },
    forbidRaces: ["STAMP"],
    setup: (i32): undefined => {
      initSpscWords(i32, CHANNEL + RING, size, 0);
      for (const idx of [1, 2]) i32[idx] = -(2 << 9);
    },
    threads: { sender, receiver: receive },
    check: ({ i32, results }) => {
      if (results["receiver"] !== "1,2") throw new Error(`received ${String(results["receiver"])}`);
      // Whoever took it last is the holder: worker 2.
      for (const idx of [1, 2]) if (i32[idx] !== -(3 << 9)) throw new Error(`stamp of ${idx} is ${i32[idx]}`);
    },
  };
}

describe("a channel is correct in every order of its accesses", () => {
  test("two buffers through one slot, and through two", () => {
    expectCorrect("channel, 1 slot", program(1));
    expectCorrect("channel, 2 slots", program(2));
  });
});

describe("bugs that the explorer finds in a channel", () => {
  test("the sender takes its stamp off after the buffer is shown", () => {
    const late: Body = (i32) => {
      const sender = new ChannelSender(hostOver(i32, 1), CHANNEL);
      for (const idx of [1, 2]) {
        i32[idx] = 0;
        while (!sender.send(refOf(idx))) pause();
        sender.flush();
        if ((i32[idx] ?? 0) < 0) i32[idx] = 0;
      }
    };
    expectBug(program(2, late), "sc", "race");
    expectBug({ ...program(2, late), forbidRaces: false }, "sc", "check");
  });

  test("it is shown by a plain store", () => {
    const plain: Body = (i32) => withAtomics(plainStore(CHANNEL + RING + TAIL), () => send(i32, undefined));
    expectBug(program(1, plain), "sc", "race");
  });
});
