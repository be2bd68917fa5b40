import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { asSkbRef, consumeSkb, SkbView } from "@netmem/skb";
import { expect, test } from "vitest";
import { ECHO_PORT, HEADER_BYTES, makeStand, writeAnswer, writeRequest } from "../stand.ts";

const bytes = new Uint8Array(9000);

test.each([18, 1000, 3478, 3479, 8000])(
  "a packet of %i bytes comes back, byte for byte, in its own buffers",
  (payloadBytes) => {
    const stand = makeStand();
    const sent: Uint8Array[] = [];
    stand.onSent = (frame) => sent.push(frame.slice());
    for (let n = 0; n < 3; n++) stand.nic.receive(bytes, 0, writeRequest(bytes, n, payloadBytes));
    stand.scheduler.runUntilIdle();
    expect(sent).toHaveLength(3);
    for (const [n, frame] of sent.entries()) {
      const len = writeAnswer(bytes, n, payloadBytes);
      expect(Buffer.compare(frame, bytes.subarray(0, len))).toBe(0);
    }
    stand.device.close();
    stand.clock.advance(5000);
    expect(stand.device.drivers[0]!.inflight()).toBe(0);
  },
);

test("what is not for the service goes to the stack, as it came", () => {
  const stand = makeStand();
  const view = new SkbView(stand.skbs);
  const lengths: number[] = [];
  stand.device.setReceiver((skbs, count) => {
    for (const skb of skbs.subarray(0, count)) {
      lengths.push(view.of(asSkbRef(skb)).len);
      consumeSkb(stand.skbs, asSkbRef(skb));
    }
  });
  let sent = 0;
  stand.onSent = () => sent++;
  stand.nic.receive(bytes, 0, writeRequest(bytes, 0, 100, ECHO_PORT + 1));
  const short = writeRequest(bytes, 0, 18);
  for (const [at, value] of [
    [12, 0x86], // not IPv4
    [14, 0x46], // options
    [20, 0x20], // a first fragment
    [21, 1], // a later one
    [23, 6], // TCP
  ] as const) {
    const was = bytes[at]!;
    bytes[at] = value;
    stand.nic.receive(bytes, 0, short);
    bytes[at] = was;
  }
  stand.nic.receive(bytes, 0, 41);
  stand.scheduler.runUntilIdle();
  expect([lengths, sent]).toEqual([[HEADER_BYTES + 100, 60, 60, 60, 60, 60, 41], 0]);
});

test("the example runs", () => {
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [main], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/answered 100000 right, 0 wrong.*\n.*missing after close: 0/);
});
