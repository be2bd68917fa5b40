/* When a queue counts as free. The kernel is played by a list. */
import { SystemCallError, type NetdevFamily } from "@netmem/linux";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ReleaseWatch } from "../src/release-watch.ts";

type Listed = "bound" | "free" | "unlisted" | "gone";

/** A netdev family that says what the test wants about RX queue 1; TX queue 1 and RX queue 0 are always bound. */
class FakeFamily {
  says: Listed = "bound";

  queues(): ReturnType<NetdevFamily["queues"]> {
    if (this.says === "gone") throw new SystemCallError("netlink", 19);
    const common = { ifindex: 7, napiId: 0, provider: null };
    const others = [
      { ...common, type: "rx" as const, id: 0, xsk: true },
      { ...common, type: "tx" as const, id: 1, xsk: true },
    ];
    const queue = { ...common, type: "rx" as const, id: 1, xsk: this.says === "bound" };
    return { items: this.says === "unlisted" ? others : [...others, queue], missing: null };
  }
}

function watching(says: Listed): { family: FakeFamily; watch: ReleaseWatch } {
  const family = new FakeFamily();
  family.says = says;
  const watch = new ReleaseWatch(family as unknown as NetdevFamily, 7, 1);
  watch.start();
  return { family, watch };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a closed queue is free when the kernel no longer lists its socket, however long that takes", () => {
  const { family, watch } = watching("bound");
  vi.advanceTimersByTime(60_000);
  expect(watch.isReleased()).toBe(false);
  family.says = "free";
  expect(watch.isReleased()).toBe(true);
});

test("a kernel that did not list the socket while it was bound is given a second", () => {
  for (const says of ["free", "unlisted"] as const) {
    const { watch } = watching(says);
    expect(watch.isReleased()).toBe(false);
    vi.advanceTimersByTime(999);
    expect(watch.isReleased()).toBe(false);
    vi.advanceTimersByTime(1);
    expect(watch.isReleased()).toBe(true);
  }
});

test("a queue that is not listed any more, as of a device that is down, is given a second", () => {
  const { family, watch } = watching("bound");
  family.says = "unlisted";
  expect(watch.isReleased()).toBe(false);
  vi.advanceTimersByTime(1000);
  expect(watch.isReleased()).toBe(true);
});

test("a queue that was bound again had been let go, although the kernel lists a socket on it", () => {
  const { watch } = watching("bound");
  expect(watch.isReleased()).toBe(false);
  watch.confirm();
  expect(watch.isReleased()).toBe(true);
});

test("an interface that was removed has let go", () => {
  const { family, watch } = watching("bound");
  family.says = "gone";
  expect(watch.isReleased()).toBe(true);
});
