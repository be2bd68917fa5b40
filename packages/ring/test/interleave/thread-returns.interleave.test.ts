import { GEN_ONE, type NetmemRef } from "@netmem/core";
import type { InterleaveProgram } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { pushOverflow } from "../../src/inbox-words.ts";
import { ChannelStamps, ThreadReturns } from "../../src/index.ts";
import { expectBug, expectCorrect, expectCorrectQuickly } from "./expectations.ts";
import { CHANNELS, hostOver, INBOX, LINK, refOf } from "./host-over.ts";
import {
  type Body,
  collect,
  collectUntilHome,
  type Context,
  expectOnce,
  giveBack,
  program,
  TinyOwner,
} from "./thread-returns-program.ts";

describe("returns between threads are correct in every order of their accesses", () => {
  test("two buffers of one worker through a ring of one: the second goes by the list", () => {
    expectCorrect("returns, 1 worker", program(1, { owner: collect(2), a: giveBack(1, 1, 2) }, "1,2 / 0"));
  });

  test("two workers without rings (3 threads)", () => {
    const threads = { owner: collect(2), a: giveBack(1, 1), b: giveBack(2, 2) };
    expectCorrectQuickly("returns, 2 workers", program(0, threads, "1,2 / 0"));
  });

  test("two workers return one buffer through rings: the second is refused (3 threads)", () => {
    const threads = { owner: collectUntilHome, a: giveBack(1, 1), b: giveBack(2, 1) };
    expectCorrectQuickly("returns, twice through rings", { ...program(1, threads, ""), check: expectOnce });
  });

  test("two workers return one buffer by overflow lists: one claims it (3 threads)", () => {
    const threads = { owner: collectUntilHome, a: giveBack(1, 1), b: giveBack(2, 1) };
    expectCorrectQuickly("returns, twice by lists", { ...program(0, threads, ""), check: expectOnce });
  });

  test("a buffer that came home is stamped for its next holder while its last one is not done", () => {
    const twice: Body = (i32, context) => {
      giveBack(1, 2)(i32, context);
      // The owner may find this one when it looks for the other, before its worker says so.
      return giveBack(1, 1)(i32, context);
    };
    const handOn: Body = (i32, context) => {
      const result = collect(2)(i32, context);
      new ChannelStamps(context.hosts[2]!).set(refOf(1) + GEN_ONE);
      return result;
    };
    for (const ringSize of [0, 1]) {
      const subject = program(ringSize, { owner: handOn, a: twice }, "1,2 / 0");
      const setup: InterleaveProgram<Context>["setup"] = (i32) => {
        i32[CHANNELS] = 1;
        const context = subject.setup!(i32);
        new ChannelStamps(context.hosts[1]!).set(refOf(1));
        return context;
      };
      const check: InterleaveProgram<Context>["check"] = (end) => {
        subject.check?.(end);
        const holder = new ChannelStamps(hostOver(end.i32, 0, null)).holderOf(refOf(1) + GEN_ONE);
        if (holder !== 2) throw new Error(`worker ${holder} is said to hold it`);
      };
      expectCorrectQuickly(`returns, a stamp anew, ring of ${ringSize}`, { ...subject, setup, check });
    }
  });

  test("the owner returns what a worker returns", () => {
    const both: Body = (i32, context) => {
      try {
        context.owner.returnSlow(refOf(1) as NetmemRef);
      } catch {
        // The worker was first: it is on its way.
      }
      return collectUntilHome(i32, context);
    };
    for (const ringSize of [0, 1]) {
      const subject = program(ringSize, { owner: both, a: giveBack(1, 1) }, "");
      expectCorrect(`returns, by the owner too, ring of ${ringSize}`, { ...subject, check: expectOnce });
    }
  });
});

describe("bugs that the explorer finds in returns between threads", () => {
  test("what goes on a list is not claimed: two lists run through one link (3 threads)", () => {
    const unclaimed =
      (worker: number, ...indices: readonly number[]): Body =>
      (i32, { returns }) => {
        for (const idx of indices) pushOverflow(i32, INBOX + 48 + worker, LINK, refOf(idx));
        returns[worker]!.takeRun(Int32Array.of(refOf(3)), 0, worker === 1 ? 1 : 0);
        returns[worker]!.flush();
        return indices.length;
      };
    const threads = { owner: collect(4), a: unclaimed(1, 2, 1), b: unclaimed(2, 1) };
    const subject = program(0, threads, "1,2,3 / 1");
    expect(expectBug(subject, "sc", "livelock").message).toContain("owner spins");
  });

  test("nobody is told", () => {
    const silent: Body = (_i32, { returns }) => returns[1]!.takeRun(Int32Array.of(refOf(1)), 0, 1);
    expectBug(program(1, { owner: collect(1), a: silent }, "1 / 0"), "sc", "livelock");
  });

  test("the owner believes what it is given", () => {
    class Gullible extends TinyOwner {
      override returnSlow(ref: NetmemRef): void {
        this.home.push(ref >>> 1);
      }
    }
    const subject = program(1, { owner: collectUntilHome, a: giveBack(1, 1), b: giveBack(2, 1) }, "");
    const setup: InterleaveProgram<Context>["setup"] = (i32) => {
      const context = subject.setup!(i32);
      const owner = new Gullible();
      const host = hostOver(i32, 0, owner);
      owner.host = host;
      return { owner, hosts: [host], returns: [new ThreadReturns(host), ...context.returns.slice(1)] };
    };
    expectBug({ ...subject, setup, check: expectOnce }, "sc", "check");
  });
});
