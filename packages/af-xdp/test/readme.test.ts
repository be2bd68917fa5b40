import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { whyNoAfXdp } from "./fixture.ts";

test("the example in the README runs and sends its packet back", (context) => {
  const whyNot = whyNoAfXdp();
  if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
  const packageDir = new URL("..", import.meta.url);
  const example = /```ts\n(.*?)```/s.exec(readFileSync(new URL("README.md", packageDir), "utf8"))?.[1] ?? "";
  const output = execFileSync(process.execPath, ["--input-type=module-typescript", "--eval", example], {
    cwd: packageDir,
  });
  expect(output.toString()).toMatch(/^sent back: 1 \{"ifname":"near".*"mode":"copy"/);
});
