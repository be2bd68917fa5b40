import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

test("the example in the README runs and prints what it says", () => {
  const packageDir = new URL("..", import.meta.url);
  const readme = readFileSync(new URL("README.md", packageDir), "utf8");
  const example = /```js\n(.*?)```/s.exec(readme)?.[1] ?? "";
  const printed = /prints:\n\n```\n(.*?)```/s.exec(readme)?.[1] ?? "";
  const output = execFileSync(process.execPath, ["--input-type=module", "--eval", example], {
    cwd: packageDir,
  });
  expect(output.toString()).toBe(printed);
});
