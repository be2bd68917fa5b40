import { runExample, whyNoAfXdp } from "@netmem-examples/af-xdp-stand/run-example";
import { expect, test } from "vitest";

const whyNot = whyNoAfXdp();

test.for(["poll", "spin", "events"])("the example runs, and every page comes home: %s", (wait, context) => {
  if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
  const { code, lines } = runExample(import.meta.url, [
    "--setup-veth",
    "--queues",
    "2",
    "--seconds",
    "1",
    "--wait",
    wait,
  ]);
  expect(lines.join("\n")).toContain("every page is home");
  expect(code).toBe(0);
});

test.for<[string, string[], RegExp]>([
  ["an option that does not exist", ["--nonsense"], /nonsense/],
  ["a mode that does not exist", ["--mode", "fast"], /--mode fast: one of auto, copy/],
  ["two places at once", ["--interface", "x", "--setup-veth"], /exclude each other/],
])("bad arguments are one line and exit code 2: %s", ([, args, says]) => {
  const { code, lines } = runExample(import.meta.url, args);
  expect([code, lines.length]).toEqual([2, 1]);
  expect(lines[0]).toMatch(says);
});

test("what the kernel refuses is one line with a code, and exit code 1", (context) => {
  if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
  const { code, lines } = runExample(import.meta.url, ["--interface", "nowhere0"]);
  expect([code, lines.length]).toEqual([1, 1]);
  expect(lines[0]).toMatch(/^ERR_NETMEM_XDP_NO_INTERFACE: /);
});
