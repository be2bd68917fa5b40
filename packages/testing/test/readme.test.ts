import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const packageDir = new URL("..", import.meta.url);
const readme = readFileSync(new URL("README.md", packageDir), "utf8");
const examples = [...readme.matchAll(/```js\n(.*?)```\n\nprints:\n\n```\n(.*?)```/gs)];

test.each(examples.map(([, code = "", printed = ""], k) => ({ number: k + 1, code, printed })))(
  "example $number in the README runs and prints what it says",
  ({ code, printed }) => {
    const output = execFileSync(process.execPath, ["--input-type=module", "--eval", code], { cwd: packageDir });
    expect(output.toString()).toBe(printed);
  },
);

test("every example of the README is run", () => {
  expect(examples).toHaveLength(readme.split("```js").length - 1);
});
