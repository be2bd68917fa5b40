import type { Host } from "@netmem/core";
import { expect, test } from "vitest";
import { CLOSED, RING } from "../src/channel-words.ts";
import { ChannelReceiver, ChannelSender } from "../src/index.ts";
import { initSpscWords, spscWords } from "../src/spsc-ring-words.ts";

const CHANNEL = 16;

/** A channel of four slots, and what its ends need of the hosts of three workers. */
function createHosts(): readonly [Host, Host, Host] {
  const i32 = new Int32Array(CHANNEL + RING + spscWords(4));
  initSpscWords(i32, CHANNEL + RING, 4, 0);
  const hostOf = (workerId: number): Host => ({ i32, workerId, linkAt: 0 }) as unknown as Host;
  return [hostOf(0), hostOf(1), hostOf(2)];
}

test.each([ChannelSender, ChannelReceiver])(
  "%o: closing an end twice does not take it from who has it by then",
  (End) => {
    const [a, b, c] = createHosts();
    const first = new End(a, CHANNEL);
    const taken = expect.objectContaining({ code: "ERR_NETMEM_CHANNEL_TAKEN", errno: "EBUSY", value: CHANNEL });
    expect(() => new End(b, CHANNEL)).toThrow(taken);
    first.close();
    const second = new End(b, CHANNEL);
    first.close();
    expect(() => new End(c, CHANNEL)).toThrow(taken);
    second.close();
    a.i32[CHANNEL + CLOSED] = 1;
    expect(new End(c, CHANNEL).isClosed).toBe(false);
  },
);
