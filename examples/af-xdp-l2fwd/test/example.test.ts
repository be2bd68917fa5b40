import { runExample, whyNoAfXdp } from "@netmem-examples/af-xdp-stand/run-example";
import { expect, test } from "vitest";

test("the example runs, and every page comes home", (context) => {
  const whyNot = whyNoAfXdp();
  if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
  const args = ["--setup-veth", "--queues", "2", "--seconds", "1", "--wait", "spin"];
  const { code, lines } = runExample(import.meta.url, args);
  expect(lines.join("\n")).toContain("every page is home");
  expect(code).toBe(0);
});
