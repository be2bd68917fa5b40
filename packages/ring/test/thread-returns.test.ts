import { expect, test } from "vitest";
import { createReturnsWith, ThreadReturns } from "../src/index.ts";
import { hostOver, layOut, refOf, WORDS } from "./interleave/host-over.ts";
import { TinyOwner } from "./interleave/thread-returns-program.ts";

/** Three buffers of an owner on thread 0 are out; thread 1 returns them. `ringSize` 0: by overflow lists alone. */
function createScene(ringSize: number): {
  owner: TinyOwner;
  home: ThreadReturns;
  away: ThreadReturns;
  refused(): number;
} {
  const i32 = new Int32Array(new SharedArrayBuffer(WORDS * 4));
  layOut(i32, ringSize);
  const owner = new TinyOwner();
  const host = hostOver(i32, 0, owner);
  owner.host = host;
  const away = new ThreadReturns(hostOver(i32, 1, null));
  return { owner, home: new ThreadReturns(host), away, refused: () => host.returnCounts.refused };
}

test.each([0, 1, 2])("with a ring of %i, a buffer that is in a batch twice costs no other buffer", (ringSize) => {
  for (const batch of [
    [1, 2, 3, 3],
    [1, 1, 2, 3],
    [1, 2, 2, 2, 3],
    [1, 2, 3, 2, 1],
  ]) {
    const { owner, home, away } = createScene(ringSize);
    const refs = Int32Array.from(batch, refOf);
    let done = 0;
    while (done < refs.length) {
      done += away.takeRun(refs, done, refs.length);
      // Where the run ends at an entry that is on its way: the caller is told, and passes over it.
      if (done < refs.length) done++;
    }
    away.flush();
    while (home.drain() > 0);
    expect(
      owner.home.toSorted((a, b) => a - b),
      batch.join(),
    ).toEqual([1, 2, 3]);
  }
});

test.each([0, 3, 1000, 2 ** 21, Number.NaN])(
  "a ring of %d slots is refused before anything is returned",
  (ringSize) => {
    expect(() => createReturnsWith({ ringSize })(hostOver(new Int32Array(WORDS), 1, null))).toThrow(
      expect.objectContaining({ code: "ERR_NETMEM_INVALID_PARAM", param: "ringSize" }),
    );
  },
);
