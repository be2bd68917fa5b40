import { describe, expect, test } from "vitest";
import { VirtualClock } from "../src/index.ts";

describe("VirtualClock", () => {
  test("stands still until it is advanced", () => {
    const clock = new VirtualClock(1000);
    expect(clock.nowMs()).toBe(1000);
    clock.advance(2.5);
    expect(clock.nowMs()).toBe(1002.5);
  });

  test("runs timers in order of due time, then of setting, each at its own time", () => {
    const clock = new VirtualClock();
    const log: string[] = [];
    const note = (name: string) => () => log.push(`${name}@${clock.nowMs()}`);
    clock.setTimer(note("late"), 20);
    clock.setTimer(note("first"), 10);
    clock.setTimer(note("second"), 10);
    clock.advance(9);
    expect(log).toEqual([]);
    expect(clock.pendingCount).toBe(3);
    clock.advance(100);
    expect(log).toEqual(["first@10", "second@10", "late@20"]);
    expect(clock.nowMs()).toBe(109);
    expect(clock.pendingCount).toBe(0);
  });

  test("runs timers that timers set, within the same advance", () => {
    const clock = new VirtualClock();
    const times: number[] = [];
    const tick = (): void => {
      times.push(clock.nowMs());
      clock.setTimer(tick, 10);
    };
    clock.setTimer(tick, 10);
    clock.advance(35);
    expect(times).toEqual([10, 20, 30]);
    expect(clock.pendingCount).toBe(1);
  });

  test("a cleared timer never runs; clearing it again is harmless", () => {
    const clock = new VirtualClock();
    let ran = 0;
    const other = clock.setTimer(() => ran++, 5);
    clock.setTimer(() => clock.clearTimer(other), 1);
    clock.advance(10);
    clock.clearTimer(other);
    clock.clearTimer(12345);
    expect(ran).toBe(0);
  });

  test("an error of a timer comes out and leaves the others to run", () => {
    const clock = new VirtualClock();
    let ran = 0;
    clock.setTimer(() => {
      throw new Error("timer failed");
    }, 5);
    clock.setTimer(() => ran++, 6);
    expect(() => clock.advance(10)).toThrow("timer failed");
    expect(clock.nowMs()).toBe(5);
    clock.advance(1);
    expect(ran).toBe(1);
  });

  test("refuses bad durations, advancing from a timer, and a timer that never lets time pass", () => {
    const clock = new VirtualClock();
    expect(() => clock.setTimer(() => {}, -1)).toThrow(RangeError);
    expect(() => clock.advance(Number.NaN)).toThrow(RangeError);
    clock.setTimer(() => clock.advance(1), 0);
    expect(() => clock.advance(1)).toThrow("called from a timer");
    const spin = (): void => void clock.setTimer(spin, 0);
    spin();
    expect(() => clock.advance(1)).toThrow("more are due");
  });
});
