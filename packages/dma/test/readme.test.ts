import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

/**
 * The example uses the page allocator, a package of the same layer: it may not be a dependency here, not even for tests.
 * So its name is resolved by hand, as npm would for somebody who installed all three.
 */
const installMm = `
import { registerHooks } from "node:module";
const mm = ${JSON.stringify(new URL("../../mm/src/index.ts", import.meta.url).href)};
registerHooks({ resolve: (name, context, next) => (name === "@netmem/mm" ? next(mm, context) : next(name, context)) });
`;

test("the example in the README runs and prints what it says", () => {
  const packageDir = new URL("..", import.meta.url);
  const readme = readFileSync(new URL("README.md", packageDir), "utf8");
  const example = /```js\n(.*?)```/s.exec(readme)?.[1] ?? "";
  const printed = /prints:\n\n```\n(.*?)```/s.exec(readme)?.[1] ?? "";
  const hooks = `data:text/javascript,${encodeURIComponent(installMm)}`;
  const args = ["--import", hooks, "--input-type=module", "--eval", example];
  expect(execFileSync(process.execPath, args, { cwd: packageDir }).toString()).toBe(printed);
});
