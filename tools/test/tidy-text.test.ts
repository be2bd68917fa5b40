import { expect, it } from "vitest";
import { dataPathRule } from "../tidy/data-path-rule.ts";
import type { Rule } from "../tidy/finding.ts";
import {
  fileLengthRule,
  fileNameRule,
  fileSizeRule,
  indexRule,
  lineLengthRule,
  patternRule,
} from "../tidy/text-rules.ts";
import { SourceFile, Tree, treeOf } from "../tidy/tree.ts";

const SRC = "packages/core/src/a.ts";

/** What a rule says about one file: "rule:line" of each finding. */
function say(rule: Rule, text: string, path = SRC): string[] {
  return rule(treeOf({ [path]: text })).map((one) => `${one.rule}:${one.line}`);
}

it.each([
  ["no-default-export", "export default 1;"],
  ["no-export-star", 'export * from "./b.ts";'],
  ["no-any", "let a: any = 1;"],
  ["no-any", "f(a as any);"],
  ["no-any", "const a = new Map<any, string>();"],
  ["no-ts-ignore", "// @ts-ignore\n"],
  ["no-todo", "// TODO later"],
  ["no-todo", "/* FIXME */"],
  ["no-only", 'it.only("x", f);'],
  ["no-machine-path", "// see /home/ann/notes"],
  ["no-machine-path", "/** see /root/design */"],
])("%s: %s", (rule, text) => {
  expect(say(patternRule, `const ok = 1;\n${text}`)).toEqual([`${rule}:2`]);
});

it.each([
  'const s = "export default, as any, it.only(";',
  "const s = `: any ${f(`// TODO`)} as any`;",
  "// export default is for any config file",
  "const anyone: Many = company;",
  "const r = /: any/;",
  'const url = "/home/";',
  "const $x = `$home/a`;",
])("no finding: %s", (text) => {
  expect(say(patternRule, text)).toEqual([]);
});

it("config files may export a default", () => {
  expect(say(patternRule, "export default 1;", "vitest.config.ts")).toEqual([]);
});

it("line length: over 160, URLs exempt", () => {
  expect(say(lineLengthRule, "x".repeat(160))).toEqual([]);
  expect(say(lineLengthRule, `\n${"x".repeat(161)}`)).toEqual(["line-length:2"]);
  expect(say(lineLengthRule, `// https://example.org/${"x".repeat(161)}`)).toEqual([]);
});

it("file length: a warning over 300 lines with something in them, an error over 500", () => {
  const lines = (count: number) => treeOf({ [SRC]: "x\n\n".repeat(count) });
  expect(fileLengthRule(lines(300))).toEqual([]);
  expect(fileLengthRule(lines(301))).toMatchObject([{ warning: true }]);
  expect(fileLengthRule(lines(501))).toMatchObject([{ warning: false }]);
});

it("file size: over 2 MiB, whatever is in it", () => {
  const big = (bytes: number) => new Tree([new SourceFile("a.pcap", bytes, () => "")]);
  expect(fileSizeRule(big(2 * 1024 * 1024))).toEqual([]);
  expect(fileSizeRule(big(2 * 1024 * 1024 + 1))).toHaveLength(1);
});

it("file names: no utils.ts, no sources beside src/", () => {
  expect(say(fileNameRule, "", "tools/utils.ts")).toEqual(["file-name:1"]);
  expect(say(fileNameRule, "", "packages/core/try.ts")).toEqual(["file-name:1"]);
  expect(say(fileNameRule, "", "packages/core/src/outils.ts")).toEqual([]);
});

it("an index.ts only re-exports", () => {
  const good =
    '/// <reference lib="x" />\n// why\nexport { a, type B } from "./a.ts";\nexport type {\n  C,\n} from "./c.ts";\n';
  const path = "packages/core/src/sub/index.ts";
  expect(say(indexRule, good, path)).toEqual([]);
  expect(say(indexRule, `${good}export const a = 1;\n`, path)).toEqual(["index:7"]);
  expect(say(indexRule, 'import "./a.ts";\n', path)).toEqual(["index:1"]);
});

const hot = (body: string): string => `/*\n * data path\n */\nexport function f(a: number): number {\n  ${body}\n}\n`;

it.each([
  "for (const x of xs) g(x);",
  "g(...xs);",
  "const x = new Thing();",
  "xs.forEach((x) => g(x));",
  "const x = 1n;",
  "const x = BigInt(2);",
  "const x = u8.subarray(1, 2);",
])("data path refuses: %s", (body) => {
  expect(say(dataPathRule, hot(body))).toEqual(["data-path:5"]);
});

it.each([
  "for (let i = 0; i < 3; i++) g(i);",
  "throw new RangeError(`${[...xs].map((x) => x)}`);",
  "const error = new NetmemError(1);",
  "// new Thing() of 1n",
])("data path takes: %s", (body) => {
  expect(say(dataPathRule, hot(body))).toEqual([]);
});

it("data path: constructors, create and fail functions and what calls itself control path may allocate", () => {
  const file = `// data path
const table = new Int32Array(4);
export class A {
  private readonly words = new Int32Array(1);
  constructor(n: number) { this.words = new Int32Array(n); }
  /** Control path. */
  grow(options: { n: number }): void { this.words = new Int32Array(options.n); }
  hot(): { n: number } { return new Thing(); }
}
function createA(): A { return new A(1); }
function failA(): never { report(new A(1)); }
`;
  expect(say(dataPathRule, file)).toEqual(["data-path:8"]);
});

it("data path: only files that begin with the words", () => {
  expect(say(dataPathRule, hot("return 1n;").replace("data path", "not for the data path"))).toEqual([]);
  expect(say(dataPathRule, `import "x";\n${hot("return 1n;")}`)).toEqual([]);
});
