import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { mapLimited, runCommand } from "../packages/command.ts";
import { inTemporaryFolder } from "../packages/consumer.ts";
import { firstExample, outputProblem } from "../packages/readme.ts";
import { contentProblems } from "../packages/tarball.ts";
import { listThirdParties } from "../packages/third-party.ts";
import { closure, type Package } from "../packages/workspace.ts";

const GOOD = ["package.json", "README.md", "LICENSE", "dist/index.js", "dist/index.d.ts", "src/index.ts"];

it("a tarball has what users need, and nothing of ours", () => {
  const entries = GOOD.map((path) => `package/${path}`);
  expect(contentProblems(entries)).toEqual([]);
  expect(contentProblems(entries.filter((path) => !path.endsWith("LICENSE")))).toEqual(["LICENSE is missing"]);
  for (const path of ["dist/.tsbuildinfo", "test/a.ts", "src/a.test.ts", "tsconfig.json", "node_modules/x/index.js"]) {
    expect(contentProblems([...entries, `package/${path}`])).toEqual([`${path} must not be in it`]);
  }
});

const README = `# a

\`\`\`sh
npm install a
\`\`\`

\`\`\`ts
import { a } from "@netmem/core/sub";
import { b } from "netmem";
console.log(a, b);
\`\`\`

prints:

\`\`\`
1 2
\`\`\`
`;

it("the first example of a README, its imports and what it prints", () => {
  const example = firstExample(README);
  expect(example).toMatchObject({ language: "ts", prints: "1 2\n", imports: ["@netmem/core", "netmem"] });
  expect(example!.code.split("\n")).toHaveLength(4);
  expect(outputProblem(example!, "1 2")).toBeNull();
  expect(outputProblem(example!, "1 3\n")).toContain("1 3");
  const silent = firstExample(README.replace("prints:", "Then:"));
  expect(silent!.prints).toBeNull();
  expect(outputProblem(silent!, "anything")).toBeNull();
  expect(firstExample("# a\n\n```sh\nls\n```\n")).toBeNull();
});

it("the closure of a package: what it requires, each once, nothing optional", () => {
  const one = (name: string, required: string[], optional: string[] = []) =>
    ({ name, required, optional }) as unknown as Package;
  const packages = [one("core", []), one("mm", ["core"]), one("skb", ["core", "mm"], ["kit"]), one("kit", [])];
  expect(closure(["skb"], packages).map(({ name }) => name)).toEqual(["skb", "core", "mm"]);
});

it("mapLimited keeps the order and the limit", async () => {
  let busy = 0;
  let most = 0;
  const work = async (n: number): Promise<number> => {
    most = Math.max(most, ++busy);
    await Promise.resolve();
    busy--;
    return n * 2;
  };
  expect(await mapLimited([1, 2, 3, 4, 5], 2, work)).toEqual([2, 4, 6, 8, 10]);
  expect(most).toBe(2);
});

it("runCommand reports what ended badly", async () => {
  const node = (code: string, timeoutMs = 20_000) => runCommand(process.execPath, ["-e", code], { timeoutMs });
  expect(await node("console.log(1)")).toMatchObject({ ok: true, stdout: "1\n" });
  expect(await node("console.error(2); process.exit(3)")).toMatchObject({ ok: false, output: "2\n" });
  expect((await node("setInterval(() => {}, 1000)", 300)).output).toContain("SIGTERM");
  expect(await runCommand("no-such-program", [])).toMatchObject({ ok: false });
});

it("a temporary folder is gone after a failure too", async () => {
  let folder = "";
  const failing = inTemporaryFolder(async (dir) => {
    folder = dir;
    return await Promise.reject(new Error("no"));
  });
  await expect(failing).rejects.toThrow("no");
  expect(existsSync(folder)).toBe(false);
});

it("third-party packages: the folders of tests/third-party, with the packages of ours that they name", () => {
  const found = listThirdParties();
  expect(found.map(({ name }) => name)).toEqual(["queue-driver", "scratch-type", "stack-provider"]);
  expect(found[1]!.uses).toEqual(["@netmem/core", "@netmem/mm", "@netmem/skb", "@netmem/testing"]);
  expect(
    found.every(({ path }) => existsSync(join(path, "src/index.ts")) && existsSync(join(path, "tsconfig.json"))),
  ).toBe(true);
});
