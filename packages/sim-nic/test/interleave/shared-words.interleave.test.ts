import {
  exploreInterleavings,
  formatReport,
  type InterleaveProgram,
  type ThreadBody,
  verifyInterleavings,
} from "@netmem/testing";
import { describe, expect, test } from "vitest";
import {
  EVENTS,
  loadDone,
  loadEvents,
  loadPosted,
  RX_DONE,
  RX_POSTED,
  storeDone,
  storeEvents,
  storePosted,
} from "../../src/shared-words.ts";

/** The words between the threads, then one descriptor and one buffer, which the driver posts again and again. */
const DESC = 20;
const BUFFER = 21;
const PACKETS = 2;

type Thread = ThreadBody<undefined>;

/** `Atomics.pause` is newer than the library types. */
function pause(): void {
  (Atomics as unknown as { pause(): void }).pause();
}

interface Steps {
  readonly post: (i32: Int32Array, index: number) => void;
  readonly complete: (i32: Int32Array, index: number) => void;
  /** Packets that the driver may look at. */
  readonly look: (i32: Int32Array) => number;
}

const shipped: Steps = {
  post: (i32, index) => {
    i32[DESC] = -index;
    storePosted(i32, 0, 0, index);
  },
  complete: (i32, index) => {
    i32[BUFFER] = index * 10;
    i32[DESC] = index;
    storeDone(i32, 0, 0, index);
    storeEvents(i32, 0, index);
  },
  look: (i32) => (loadEvents(i32, 0) === 0 ? 0 : loadDone(i32, 0, 0)),
};

/** Posts the descriptor, waits for its packet, looks at it, posts it again. */
const driver =
  ({ post, look }: Steps): Thread =>
  (i32) => {
    for (let index = 1; index <= PACKETS; index++) {
      post(i32, index);
      while (look(i32) !== index) pause();
      if (i32[DESC] !== index || i32[BUFFER] !== index * 10) throw new Error(`packet ${index} is not there`);
    }
  };

const hardware =
  ({ complete }: Steps): Thread =>
  (i32) => {
    for (let index = 1; index <= PACKETS; index++) {
      while (loadPosted(i32, 0, 0) !== index) pause();
      if (i32[DESC] !== -index) throw new Error(`descriptor ${index} is not there`);
      complete(i32, index);
    }
  };

function program(steps: Partial<Steps> = {}): InterleaveProgram {
  const all = { ...shipped, ...steps };
  return {
    words: BUFFER + 1,
    names: { RX_POSTED, EVENTS, RX_DONE, DESC, BUFFER },
    threads: { driver: driver(all), hardware: hardware(all) },
    forbidRaces: true,
  };
}

test("a descriptor and its buffer go to the hardware and back, whole, in every order of accesses", () => {
  const reports = verifyInterleavings(program());
  console.log(`descriptor twice: ${reports.map(formatReport).join("; ")}`);
  for (const report of reports) expect(report).toMatchObject({ complete: true, failure: null });
});

describe("bugs that the explorer finds", () => {
  test("the index is shown before the descriptor is written", () => {
    const early = program({
      post: (i32, index) => {
        storePosted(i32, 0, 0, index);
        i32[DESC] = -index;
      },
    });
    expect(exploreInterleavings(early, { memory: "sc" }).failure?.kind).toBe("assertion");
  });

  test("completions are shown before the packet is written", () => {
    const early = program({
      complete: (i32, index) => {
        storeDone(i32, 0, 0, index);
        storeEvents(i32, 0, index);
        i32[BUFFER] = index * 10;
        i32[DESC] = index;
      },
    });
    expect(exploreInterleavings(early, { memory: "sc" }).failure?.kind).toBe("assertion");
  });

  test("the event is shown before the index: a driver that looks once per event misses the packet", () => {
    const swapped: Steps = {
      ...shipped,
      complete: (i32, index) => {
        i32[BUFFER] = index * 10;
        i32[DESC] = index;
        storeEvents(i32, 0, index);
        storeDone(i32, 0, 0, index);
      },
    };
    const oncePerEvent = (steps: Steps): InterleaveProgram => {
      const once: Thread = (i32) => {
        let seen = 0;
        for (let index = 1; index <= PACKETS; index++) {
          steps.post(i32, index);
          for (let done = 0; done !== index; done = loadDone(i32, 0, 0)) {
            while (loadEvents(i32, 0) === seen) pause();
            seen = loadEvents(i32, 0);
          }
        }
      };
      return { ...program(), threads: { driver: once, hardware: hardware(steps) } };
    };
    expect(exploreInterleavings(oncePerEvent(shipped), { memory: "weak" }).failure).toBeNull();
    expect(exploreInterleavings(oncePerEvent(swapped), { memory: "sc" }).failure?.kind).toBe("livelock");
  });

  test("the driver reads the index by a plain load", () => {
    const plain = program({ look: (i32) => i32[RX_DONE]! });
    expect(exploreInterleavings(plain, { memory: "sc" }).failure?.kind).toBe("race");
  });
});
