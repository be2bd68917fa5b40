import { expect, it } from "vitest";
import { applyExceptions } from "../tidy/exceptions.ts";
import type { Rule } from "../tidy/finding.ts";
import { importRule } from "../tidy/import-rule.ts";
import { hypeRule, machinePathRule, readmeRule, titleRule } from "../tidy/markdown-rules.ts";
import { layerRule, licenceRule, manifestRule, referenceRule } from "../tidy/package-rules.ts";
import { treeOf } from "../tidy/tree.ts";

const MANIFEST = {
  name: "@netmem/skb",
  version: "0.0.0",
  description: "What a packet is.",
  license: "MIT",
  type: "module",
  sideEffects: false,
  exports: { ".": "./src/index.ts", "./package.json": "./package.json" },
  publishConfig: {
    access: "public",
    exports: {
      ".": { types: "./dist/index.d.ts", default: "./dist/index.js" },
      "./package.json": "./package.json",
    },
  },
  files: ["dist", "src", "!**/*.tsbuildinfo"],
  engines: { node: ">=22" },
  peerDependencies: { "@netmem/core": "workspace:^" },
};

type Files = Record<string, string>;

/** A repository with one good package, but for what `changes` says. */
function repository(changes: Files = {}, manifest: object = {}): Files {
  return {
    LICENSE: "MIT",
    "tsconfig.json": '{"references":[{"path":"packages/skb"}]}',
    "packages/skb/LICENSE": "MIT",
    "packages/skb/README.md": "# skb\n\n```ts\nf();\n```\n\n## What it does not do\n",
    "packages/skb/turbo.json": '{"tags":["l2"]}',
    "packages/skb/tsconfig.json": '{"references":[{"path":"../core"}]}',
    "packages/skb/package.json": JSON.stringify({ ...MANIFEST, ...manifest }),
    "packages/skb/src/index.ts": 'export { a } from "@netmem/core";\n',
    ...changes,
  };
}

const messages = (rule: Rule, files: Files): string[] => rule(treeOf(files)).map(({ message }) => message);

it("a good package has no findings", () => {
  for (const rule of [manifestRule, licenceRule, layerRule, referenceRule, importRule, readmeRule, titleRule]) {
    expect(messages(rule, repository())).toEqual([]);
  }
});

it.each([
  ["name", "@netmem/skbs"],
  ["version", undefined],
  ["description", "short"],
  ["license", "ISC"],
  ["type", "commonjs"],
  ["sideEffects", undefined],
  ["files", ["dist"]],
  ["engines", { node: ">=20" }],
  ["exports", { ".": "./dist/index.js", "./package.json": "./package.json" }],
  ["exports", { ".": "./src/index.ts", "./b": "./src/b.ts", "./package.json": "./package.json" }],
  ["publishConfig", { access: "public" }],
  ["publishConfig", { ...MANIFEST.publishConfig, access: "restricted" }],
])("manifest: %s %j", (field, value) => {
  expect(messages(manifestRule, repository({}, { [field]: value })).join()).toContain(field);
});

it("manifest: missing", () => {
  expect(messages(manifestRule, repository({ "packages/skb/package.json": "{" }))).toEqual(["missing, or no JSON"]);
});

it("licence: a copy of the one at the top", () => {
  expect(messages(licenceRule, repository({ "packages/skb/LICENSE": "mine" }))).toHaveLength(1);
});

it("layer: the tag, the table, no dependencies of others below L3", () => {
  expect(messages(layerRule, repository({ "packages/skb/turbo.json": '{"tags":["l1"]}' }))).toEqual([
    'tags must be ["l2"]',
  ]);
  expect(messages(layerRule, repository({ "packages/nobody/package.json": "{}" }))[0]).toContain("not in the table");
  expect(messages(layerRule, repository({}, { dependencies: { "left-pad": "1.0.0" } }))[0]).toContain("left-pad");
});

it("references: as in package.json, and all packages at the top", () => {
  expect(messages(referenceRule, repository({ "packages/skb/tsconfig.json": "{}" }))).toEqual([
    "references must be: ../core",
  ]);
  expect(messages(referenceRule, repository({ "tsconfig.json": "{}" }))).toEqual(["no reference to packages/skb"]);
});

it("imports: what users get, and no node: below L4", () => {
  const source = (text: string): Files => repository({ "packages/skb/src/a.ts": text });
  expect(messages(importRule, source('import {\n  b,\n} from "@netmem/mm/sub";'))[0]).toContain(
    "@netmem/mm is in neither",
  );
  expect(messages(importRule, source('await import("koffi");'))[0]).toContain("koffi");
  expect(messages(importRule, source('import { readFileSync } from "node:fs";'))[0]).toContain("browsers");
  expect(messages(importRule, source('// import "x"\nconst s = `\nimport "y"`;\nimport "./b.ts";'))).toEqual([]);
});

it("readme: there, with an example and its limits", () => {
  const readme = (text: string): Files => repository({ "packages/skb/README.md": text });
  expect(messages(readmeRule, readme("# skb\n"))).toHaveLength(2);
  expect(messages(readmeRule, readme("# skb\n\n```sh\nls\n```\n\n## Limits\n"))).toHaveLength(1);
  expect(messages(readmeRule, { "packages/skb/package.json": "{}" })).toEqual(["missing"]);
});

it("title: one outside of code", () => {
  expect(messages(titleRule, { "a.md": "# A\n\n```sh\n# a comment\n```\n" })).toEqual([]);
  expect(messages(titleRule, { "a.md": "## A\n" })).toHaveLength(1);
  expect(messages(titleRule, { "a.md": "# A\n\n# B\n" })).toHaveLength(1);
  expect(messages(titleRule, { ".changeset/warm-cats.md": "---\n---\n\nText.\n" })).toEqual([]);
});

it("hype and machine paths", () => {
  expect(messages(hypeRule, { "a.md": "A blazing fast pool." })).toHaveLength(1);
  expect(messages(hypeRule, { "a.ts": '/** It just works. */\nconst s = "simply";' })).toHaveLength(1);
  expect(messages(machinePathRule, { "a.md": "in `/home/ann` or\n/Users/ann/x or\n/tmp/x" })).toHaveLength(3);
  expect(messages(machinePathRule, { "a.md": "https://example.org/home/ and src/tmp/x" })).toEqual([]);
});

it("an exception takes findings out, and is one when nothing needs it", () => {
  const finding = { rule: "r", path: "docs/a.md", line: 1, message: "m" };
  const exception = { rule: "r", path: "docs/", reason: "test" };
  expect(applyExceptions([finding], [exception])).toEqual([]);
  expect(applyExceptions([finding], [])).toEqual([finding]);
  expect(applyExceptions([], [exception])).toMatchObject([{ rule: "exception" }]);
});
