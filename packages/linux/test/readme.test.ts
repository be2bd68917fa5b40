import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { linux, linuxTest } from "./linux-needs.ts";

/**
 * The example uses the umbrella, which lies above this package and may not be a dependency here. So its name is resolved
 * by hand, as npm would for somebody who installed both.
 */
const installNetmem = `
import { registerHooks } from "node:module";
const netmem = ${JSON.stringify(new URL("../../netmem/src/index.ts", import.meta.url).href)};
registerHooks({ resolve: (name, context, next) => (name === "netmem" ? next(netmem, context) : next(name, context)) });
`;

linuxTest("the example in the README runs", [], () => {
  const packageDir = new URL("..", import.meta.url);
  const readme = readFileSync(new URL("README.md", packageDir), "utf8");
  const example = /```js\n(.*?)```/s.exec(readme)?.[1] ?? "";
  const hooks = `data:text/javascript,${encodeURIComponent(installNetmem)}`;
  const args = ["--import", hooks, "--input-type=module", "--eval", example];
  const afXdp = linux.afXdp.available ? "true" : linux.afXdp.reason;
  const printed = execFileSync(process.execPath, args, { cwd: packageDir }).toString().split("\n");
  expect(printed).toEqual(["system calls: true", `AF_XDP: ${afXdp}`, "hello from a file", "HELLO from a file", ""]);
});
