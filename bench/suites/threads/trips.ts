/**
 * Rows in which buffers go to another thread and come home. They want two free cores: where both threads share one, they
 * measure the scheduler.
 */

import { returnNetmemBulk } from "@netmem/core";
import { ChannelSender, createChannel, createSpscRing, SpscProducer } from "@netmem/ring";
import { once } from "node:events";
import type { Worker } from "node:worker_threads";
import type { ScriptRow } from "../../suite.ts";
import { Idle } from "../ring/idle.ts";
import { type RunBursts, sampleBursts } from "../ring/two-threads.ts";
import { newSubject, startThread, type Subject } from "./subject.ts";
import { BURST, RING_SIZE, type Role } from "./thread-input.ts";

/** Index and tag of a reference. */
const IDX_BITS = 0x1fffff;
const POOL_SIZE = 8192;
/** Buffers that are away at most. */
const IN_FLIGHT = 2048;

type Send = (refs: Int32Array) => number;

/** Allocates bursts, hands them over, and lets refills of the pool find what came home. */
function trip({ host, pool, idleAt }: Subject, send: Send): RunBursts {
  const idle = new Idle(host.i32, idleAt);
  const refs = new Int32Array(BURST);
  return (bursts) => {
    for (let burst = 0; burst < bursts; burst++) {
      while (pool.inflight() >= IN_FLIGHT && outside(pool) > IN_FLIGHT - BURST) idle.after(host.drainInbox());
      pool.allocBulk(refs, BURST);
      for (let sent = send(refs); sent < BURST;) {
        idle.after(0);
        sent += send(refs.subarray(sent));
      }
    }
    while (outside(pool) > 0) idle.after(host.drainInbox());
  };
}

function outside(pool: Subject["pool"]): number {
  return pool.inflight() - pool.i32[pool.at]! - pool.ring.count;
}

function tripRow(name: string, role: Role, open: (subject: Subject) => { at: number; send: Send }): ScriptRow {
  return {
    kind: "script",
    name,
    unit: "ns/buffer",
    measure: async (options) => {
      const subject = newSubject(POOL_SIZE);
      const { at, send } = open(subject);
      const thread = await startThread(subject, role, at);
      try {
        return await sampleBursts(trip(subject, send), options);
      } finally {
        await thread.terminate();
      }
    },
  };
}

/** By the plain ring there, by the inbox home: the whole trip. */
export const remoteReturn = tripRow("remote_return_64", "return", ({ host }) => {
  const at = createSpscRing(host, RING_SIZE);
  const ring = new SpscProducer(host.i32, at);
  return { at, send: (refs) => ring.produceBatch(refs, 0, refs.length) };
});

/** By a channel there, which notes who holds what. */
export const channelReturn = tripRow("channel_return_64", "channel", ({ host }) => {
  const at = createChannel(host, RING_SIZE);
  const sender = new ChannelSender(host, at);
  return { at, send: (refs) => sender.sendBatch(refs, 0, refs.length) };
});

/** References in messages, there and back; the owner returns them itself. */
export const messageReturn: ScriptRow = {
  kind: "script",
  name: "postmessage_return_64",
  unit: "ns/buffer",
  measure: async (options) => {
    const subject = newSubject(POOL_SIZE);
    const thread = await startThread(subject, "message", 0);
    try {
      return await sampleBursts(messages(subject, thread), options);
    } finally {
      await thread.terminate();
    }
  },
};

function messages({ host, pool }: Subject, thread: Worker): RunBursts {
  const away = new Set<number>();
  thread.on("message", (refs: Int32Array) => {
    returnNetmemBulk(host, refs, refs.length);
    away.delete(refs[0]! & IDX_BITS);
  });
  return async (bursts) => {
    for (let burst = 0; burst < bursts; burst++) {
      const refs = new Int32Array(BURST);
      pool.allocBulk(refs, BURST);
      thread.postMessage(refs);
      away.add(refs[0]! & IDX_BITS);
      while (away.size >= IN_FLIGHT / BURST) await once(thread, "message");
    }
    while (away.size > 0) await once(thread, "message");
  };
}
