import { runSuite } from "@netmem/testing";
import { describe, expect, test } from "vitest";
import { xskCopySuite, xskProgramSuite, xskSuite } from "../src/conformance/index.ts";
import { memoryTestbed } from "./memory-testbed.ts";

/** As `test_xsk.c` has them. */
const NAMES = `
  SEND_RECEIVE SEND_RECEIVE_2K_FRAME SEND_RECEIVE_SINGLE_PKT POLL_RX POLL_TX POLL_RXQ_FULL POLL_TXQ_FULL
  ALIGNED_INV_DESC ALIGNED_INV_DESC_2K_FRAME_SIZE UNALIGNED_INV_DESC UNALIGNED_INV_DESC_4001_FRAME_SIZE UMEM_HEADROOM
  BIDIRECTIONAL STAT_RX_DROPPED STAT_TX_INVALID STAT_RX_FULL STAT_FILL_EMPTY XDP_PROG_CLEANUP XDP_DROP_HALF
  XDP_SHARED_UMEM XDP_METADATA_COPY XDP_METADATA_COPY_MULTI_BUFF ALIGNED_INV_DESC_MULTI_BUFF
  UNALIGNED_INV_DESC_MULTI_BUFF TOO_MANY_FRAGS XDP_ADJUST_TAIL_SHRINK XDP_ADJUST_TAIL_SHRINK_MULTI_BUFF
  XDP_ADJUST_TAIL_GROW XDP_ADJUST_TAIL_GROW_MULTI_BUFF TX_QUEUE_CONSUMER SEND_RECEIVE_9K_PACKETS SEND_RECEIVE_UNALIGNED
  SEND_RECEIVE_UNALIGNED_9K_PACKETS HW_SW_MIN_RING_SIZE HW_SW_MAX_RING_SIZE TEARDOWN`;

test("every self-test of the kernel is there, once", () => {
  const names = [xskSuite, xskCopySuite, xskProgramSuite].flatMap(({ cases }) => cases).map(({ name }) => name);
  expect(names.toSorted()).toEqual(NAMES.trim().split(/\s+/).toSorted());
});

describe("copy mode", () => {
  for (const suite of [xskSuite, xskCopySuite, xskProgramSuite]) runSuite(suite, () => memoryTestbed(false), test);
});

describe("zero copy", () => {
  for (const suite of [xskSuite, xskProgramSuite]) runSuite(suite, () => memoryTestbed(true), test);
});
