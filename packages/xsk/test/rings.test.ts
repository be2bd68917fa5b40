import { describe, expect, test } from "vitest";
import {
  AddrConsumer,
  AddrProducer,
  ADDR_BYTES,
  DESC_BYTES,
  DescConsumer,
  DescProducer,
  xskRingBytes,
  xskRingLayout,
} from "../src/index.ts";
import { codeOf, makeHost, makeRing } from "./fixture.ts";

const JUST_BELOW_WRAP = 0xfffffff0;

describe("layout", () => {
  test("5.2 producer 0, consumer 128, flags 196, entries 320", () => {
    expect(xskRingLayout(1000, 8)).toEqual({
      producerAt: 1000,
      consumerAt: 1032,
      flagsAt: 1049,
      descsAt: 1080,
      size: 8,
    });
    expect([xskRingBytes(8, ADDR_BYTES), xskRingBytes(8, DESC_BYTES)]).toEqual([384, 448]);
  });

  test("5.2 sizes are powers of two, offsets words", () => {
    for (const size of [0, 3, 48, -2, 2 ** 21]) expect(codeOf(() => xskRingLayout(0, size))).toContain("EINVAL");
    expect(codeOf(() => xskRingLayout(0, 8, { producer: 2, consumer: 128, flags: 196, desc: 320 }))).toContain(
      "producer",
    );
  });
});

describe.each([0, JUST_BELOW_WRAP])("indices from %i", (startIndex) => {
  test("#308 addresses go through in order, across the wrap", () => {
    const host = makeHost();
    const layout = makeRing(host, 8, ADDR_BYTES, startIndex);
    const producer = new AddrProducer(host.i32, layout);
    const consumer = new AddrConsumer(host.i32, layout);
    let sent = 0;
    let taken = 0;
    for (let round = 0; round < 40; round++) {
      const room = producer.room(8);
      expect(room).toBe(8 - (sent - taken));
      const n = Math.min(room, (round % 5) + 1);
      for (let k = 0; k < n; k++) producer.put(sent++, sent);
      producer.submit();
      const have = consumer.peek((round % 3) + 2);
      for (let k = 0; k < have; k++) expect([consumer.low(k), consumer.high(k)]).toEqual([taken + k, taken + k + 1]);
      consumer.release(have);
      taken += have;
    }
    expect(sent).toBeGreaterThan(80);
  });

  test("#308 descriptors go through in order, across the wrap", () => {
    const host = makeHost();
    const layout = makeRing(host, 4, DESC_BYTES, startIndex);
    const producer = new DescProducer(host.i32, layout);
    const consumer = new DescConsumer(host.i32, layout);
    for (let n = 0; n < 40; n++) {
      expect(producer.room(1)).toBeGreaterThan(0);
      producer.put(n, 0, n + 1, n & 1);
      expect(consumer.peek(4)).toBe(0);
      producer.submit();
      expect(consumer.peek(4)).toBe(1);
      expect([...host.i32.subarray(consumer.at(0), consumer.at(0) + 4)]).toEqual([n, 0, n + 1, n & 1]);
      consumer.release(1);
    }
  });

  test("5.2 nothing is seen before submit, nothing is free before release", () => {
    const host = makeHost();
    const layout = makeRing(host, 4, ADDR_BYTES, startIndex);
    const producer = new AddrProducer(host.i32, layout);
    const consumer = new AddrConsumer(host.i32, layout);
    expect(producer.room(4)).toBe(4);
    for (let n = 0; n < 4; n++) producer.put(n, 0);
    expect([producer.room(1), producer.stagedCount, consumer.peek(4)]).toEqual([0, 4, 0]);
    producer.submitFirst(1);
    expect([producer.stagedCount, consumer.peek(4)]).toEqual([3, 1]);
    producer.submit();
    expect(consumer.peek(4)).toBe(4);
    consumer.advance(2);
    expect(producer.room(1)).toBe(0);
    consumer.publish();
    expect([producer.room(1), producer.filledCount, consumer.filledCount]).toEqual([2, 2, 2]);
  });

  test.each([5, -5, 2 ** 31, 1000])("an index of the other end that is off by %i is counted, not followed", (off) => {
    const host = makeHost();
    const addrs = makeRing(host, 4, ADDR_BYTES, startIndex);
    const descs = makeRing(host, 4, DESC_BYTES, startIndex);
    const producer = new AddrProducer(host.i32, addrs);
    const sender = new DescProducer(host.i32, descs);
    const consumer = new AddrConsumer(host.i32, addrs);
    const receiver = new DescConsumer(host.i32, descs);
    for (const { producerAt, consumerAt } of [addrs, descs]) {
      host.i32[producerAt] = startIndex + off;
      host.i32[consumerAt] = startIndex + off;
    }
    expect([consumer.peek(4), receiver.peek(4), producer.room(1), sender.room(1)]).toEqual([0, 0, 0, 0]);
    const counts = [consumer, receiver, producer, sender].map((end) => end.corruptCount);
    expect(counts).toEqual([1, 1, 1, 1]);
  });
});

test("#302 the wakeup bit travels from consumer to producer", () => {
  const host = makeHost();
  const layout = makeRing(host, 4, ADDR_BYTES);
  const producer = new AddrProducer(host.i32, layout);
  const consumer = new AddrConsumer(host.i32, layout);
  expect(producer.needsWakeup()).toBe(false);
  consumer.setNeedWakeup(true);
  expect(producer.needsWakeup()).toBe(true);
  consumer.setNeedWakeup(false);
  expect(producer.needsWakeup()).toBe(false);
});
