import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { runPipeline } from "../pipeline.ts";

test("a sink that takes nothing pushes back to the NIC, which drops and counts; nothing is lost between", async () => {
  const { offered, droppedByNic, received, droppedBetween, parse, sink, poolsLeft } = await runPipeline(4000, Infinity);
  // What rings and links hold, and a burst for each stage, is far less than was offered.
  expect(droppedByNic).toBeGreaterThan(2000);
  expect(droppedByNic + received).toBe(offered);
  expect(parse.handedOn + parse.unwanted).toBe(received);
  expect(sink).toMatchObject({ packets: parse.handedOn, wrong: 0 });
  expect([droppedBetween, poolsLeft]).toEqual([0, 0]);
});

test("the example runs", () => {
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [main], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^a sink that keeps up: 20000 packets offered/);
});
