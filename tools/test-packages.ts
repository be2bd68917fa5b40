/** `pnpm test:packages`: packs every package, then looks at and uses the tarballs as their users will. */

import { mapLimited } from "./packages/command.ts";
import { type ExampleResults, testExample } from "./packages/consumer.ts";
import { type NodeRelease, nodeReleases } from "./packages/nodes.ts";
import { packAll } from "./packages/pack.ts";
import { checkTarball } from "./packages/tarball.ts";
import { listThirdParties, testThirdParty } from "./packages/third-party.ts";
import { checkTypes } from "./packages/types.ts";
import { listPackages, type Package } from "./packages/workspace.ts";

const PARALLEL = 2;

interface Row {
  readonly name: string;
  readonly tarball: readonly string[];
  readonly examples: ExampleResults;
}

async function testPackage(one: Package, packages: readonly Package[], nodes: readonly NodeRelease[]): Promise<Row> {
  const tarball = await checkTarball(one);
  return { name: one.name, tarball, examples: await testExample(one, packages, nodes) };
}

const word = (good: boolean): string => (good ? "ok" : "FAILED").padEnd(10);

function printTable(rows: readonly Row[], nodes: readonly NodeRelease[]): void {
  const heads = ["tarball", ...nodes.map(({ major }) => `node ${major}`)];
  console.log(`\n${"package".padEnd(24)}${heads.map((head) => head.padEnd(10)).join("")}`);
  for (const { name, tarball, examples } of rows) {
    const cells = nodes.map(({ major }) => word(examples.get(major) === null));
    console.log(`${name.padEnd(24)}${word(tarball.length === 0)}${cells.join("")}`);
  }
}

/** Every problem once, with where it shows. */
function problemsOf({ name, tarball, examples }: Row): string[] {
  const found = tarball.map((problem) => `${name}: ${problem}`);
  for (const problem of new Set(examples.values())) {
    if (problem === null) continue;
    const majors = [...examples].filter(([, one]) => one === problem).map(([major]) => major);
    found.push(`${name}: example of the README on Node.js ${majors.join(", ")}: ${problem}`);
  }
  return found;
}

/** The table of what other people's packages do with ours; returns their problems. */
async function runThirdParties(packages: readonly Package[], nodes: readonly NodeRelease[]): Promise<string[]> {
  const problems: string[] = [];
  console.log(`\n${"third-party package".padEnd(34)}${nodes.map(({ major }) => `node ${major}`.padEnd(10)).join("")}`);
  for (const one of listThirdParties()) {
    const results = await testThirdParty(one, packages, nodes);
    const cells = nodes.map(({ major }) => word(results.get(major) === null));
    console.log(`${one.name.padEnd(34)}${cells.join("")}`);
    problems.push(...new Set([...results.values()].filter((problem) => problem !== null)));
  }
  return problems;
}

const packages = listPackages();
const nodes = await nodeReleases();
await packAll(packages);
const rows = await mapLimited(packages, PARALLEL, (one) => testPackage(one, packages, nodes));
const types = await checkTypes(packages);

printTable(rows, nodes);
const thirdParties = await runThirdParties(packages, nodes);
console.log(`\ntypes, with TypeScript 5.9 and skipLibCheck off: ${word(types.length === 0)}`);
const problems = [
  ...rows.flatMap(problemsOf),
  ...types.map((problem) => `types: ${problem}`),
  ...thirdParties.map((problem) => `third party: ${problem}`),
];
for (const problem of problems) console.log(`\nFAILED: ${problem}`);
process.exitCode = problems.length > 0 ? 1 : 0;
