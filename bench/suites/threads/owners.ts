/** The owner's fast path, and plain arithmetic, with another thread at work. */

import { loopRow } from "../../measure.ts";
import type { ScriptRow } from "../../suite.ts";
import { compute, newSubject, recycle, startThread, type Subject } from "./subject.ts";
import type { Role } from "./thread-input.ts";

/** `null`: nobody else works. */
function besideRow(name: string, role: Role | null, run: (subject: Subject, turns: number) => number): ScriptRow {
  return {
    kind: "script",
    name,
    unit: "ns/op",
    measure: async (options) => {
      const subject = newSubject(1024);
      // The "publish" thread writes into the inbox of this one, the others nowhere near it.
      const busy = role === "publish" ? subject : newSubject(1024);
      const thread = role === null ? null : await startThread(busy, role, busy.host.workers.recordAt(0));
      try {
        return await loopRow({ name, setup: () => subject, run }).measure(options);
      } finally {
        await thread?.terminate();
      }
    },
  };
}

/** The same work by a thread of another host: what a busy neighbour costs on this machine, whatever it does. */
function strangerRow(name: string): ScriptRow {
  return {
    kind: "script",
    name,
    unit: "ns/op",
    measure: async (options) => {
      const [subject, other] = [newSubject(1024), newSubject(1024)];
      const thread = await startThread(other, "publish", other.host.workers.recordAt(0));
      try {
        return await loopRow({ name, setup: () => subject.pool, run: recycle }).measure(options);
      } finally {
        await thread.terminate();
      }
    },
  };
}

const runPool = ({ pool }: Subject, turns: number): number => recycle(pool, turns);
const runAlu = (_subject: Subject, turns: number): number => compute(1, turns);

export const ownerRows: readonly ScriptRow[] = [
  besideRow("owner_alone", null, runPool),
  besideRow("owner_with_remote", "publish", runPool),
  strangerRow("owner_with_busy_thread"),
  besideRow("owner_with_alu_thread", "count", runPool),
  besideRow("alu_alone", null, runAlu),
  besideRow("alu_with_alu_thread", "count", runAlu),
];
