/** What other threads cost: returns from another thread, and an owner beside one that returns to it. */

import { loopRow } from "../measure.ts";
import type { Suite } from "../suite.ts";
import { handOverRows } from "./threads/hand-over.ts";
import { ownerRows } from "./threads/owners.ts";
import { scalingRows } from "./threads/scaling.ts";
import { newSubject, recycle } from "./threads/subject.ts";
import { channelReturn, messageReturn, remoteReturn } from "./threads/trips.ts";

const direct = loopRow({ name: "direct", setup: () => newSubject(1024).pool, run: recycle });

export const threadsSuite: Suite = {
  name: "threads",
  rows: [direct, remoteReturn, channelReturn, messageReturn, ...ownerRows, ...scalingRows, ...handOverRows],
  ratios: [
    { name: "remote_return_64_vs_direct", of: ["remote_return_64", "direct"], bar: "<=3.5" },
    { name: "channel_return_64_vs_direct", of: ["channel_return_64", "direct"] },
    { name: "postmessage64_vs_remote", of: ["postmessage_return_64", "remote_return_64"], bar: ">=3" },
    {
      name: "owner_with_remote_vs_owner_with_busy_thread",
      of: ["owner_with_remote", "owner_with_busy_thread"],
      bar: "<=1.05",
    },
    { name: "owner_with_busy_thread_vs_alone", of: ["owner_with_busy_thread", "owner_alone"] },
    { name: "owner_with_alu_thread_vs_alone", of: ["owner_with_alu_thread", "owner_alone"] },
    { name: "alu_with_alu_thread_vs_alone", of: ["alu_with_alu_thread", "alu_alone"] },
    // How much the throughput of one grows with a second worker, over how much arithmetic does.
    { name: "two_workers_vs_one_over_control", of: ["two_alu_slowdown", "two_workers_slowdown"], bar: ">=0.95" },
  ],
};
