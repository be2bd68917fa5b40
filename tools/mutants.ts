/**
 * `pnpm mutants`: proves that the numbered tests notice the mistakes that they are there for.
 *
 * Each `tests/mutants/NN-name.patch` is one seeded bug, and says in a line `# expects: #46 "2.11 a late put"` which tests
 * must turn red: catalogue numbers, or beginnings of titles. Every patch is applied to a copy of the packages and examples outside
 * the repository (Node strips no types below a folder called node_modules), and only the test files that have those tests
 * run. A mutant is killed when a named test fails while another test of the same file still passes: one that breaks the
 * import or everything proves nothing. Exit status 1 if one survives or does not apply.
 *
 * `node tools/mutants.ts 04 ring` runs the patches whose names contain one of the words.
 */
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PATCHES = join(ROOT, "tests/mutants");
const TIMEOUT_MS = 60_000;
/** All tests of all mutants at once. */
const BASELINE_TIMEOUT_MS = 400_000;
const ROOT_FILES = ["package.json", "vitest.config.ts", "tsconfig.base.json", "tools/skip-reporter.ts"];

const run = promisify(execFile);

interface Mutant {
  readonly name: string;
  readonly file: string;
  /** Beginnings of test titles, one of which must fail. */
  readonly expects: readonly string[];
  /** Test files that have such titles, relative to the root. */
  readonly tests: readonly string[];
}

interface TestResult {
  readonly title: string;
  readonly status: string;
}

/** Results by test file. */
type Results = Map<string, readonly TestResult[]>;

interface Verdict {
  readonly mutant: Mutant;
  readonly killed: boolean;
  readonly detail: string;
  readonly seconds: number;
}

function testFiles(): { readonly path: string; readonly text: string }[] {
  const packages = readdirSync(join(ROOT, "packages")).flatMap((name) =>
    filesBelow(join(ROOT, "packages", name, "test")),
  );
  const paths = [...packages, ...filesBelow(join(ROOT, "examples"))];
  return paths.filter(isUnitTest).map((path) => ({ path: relative(ROOT, path), text: readFileSync(path, "utf8") }));
}

function filesBelow(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
  } catch {
    return [];
  }
}

function isUnitTest(path: string): boolean {
  return path.endsWith(".test.ts") && !/\.(worker|soak)\.test\.ts$|\/node_modules\//.test(path);
}

/** `#46 "2.11 a late put"` as beginnings of titles; a number ends at its space. */
function parseExpects(line: string): string[] {
  return [...line.matchAll(/(#\d+)|"([^"]+)"/g)].map(([, number, title]) =>
    title === undefined ? `${number} ` : title,
  );
}

function readMutant(file: string, tests: ReturnType<typeof testFiles>): Mutant {
  const name = basename(file, ".patch");
  const expects = parseExpects(/^# expects: (.+)$/m.exec(readFileSync(file, "utf8"))?.[1] ?? "");
  if (expects.length === 0) throw new Error(`${name}: no line "# expects: #46 ..."`);
  const having = tests.filter(({ text }) => expects.some((title) => text.includes(`"${title}`)));
  if (having.length === 0) throw new Error(`${name}: no test is called ${expects.join(", ")}`);
  return { name, file, expects, tests: having.map(({ path }) => path) };
}

/** Copies what the tests need to a folder of their own. Workspace links are relative and stay inside the copy. */
function copyTree(): string {
  const folder = mkdtempSync(join(tmpdir(), "netmem-mutant-"));
  const isWanted = (source: string): boolean => !/\/(dist|\.turbo|\.cache|\.vite)$/.test(source);
  for (const tree of ["packages", "examples"]) {
    cpSync(join(ROOT, tree), join(folder, tree), { recursive: true, verbatimSymlinks: true, filter: isWanted });
  }
  for (const file of ROOT_FILES) cpSync(join(ROOT, file), join(folder, file));
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return folder;
}

async function applyPatch(folder: string, mutant: Mutant): Promise<void> {
  try {
    await run("git", ["apply", mutant.file], {
      cwd: folder,
      env: { ...process.env, GIT_CEILING_DIRECTORIES: tmpdir() },
    });
  } catch (cause) {
    const how = `the code changed; make the edit again in a clean checkout, "git diff -U1 packages examples", keep the two comment lines`;
    throw new Error(`does not apply (${how})`, { cause });
  }
}

async function runTests(folder: string, tests: readonly string[], timeout: number = TIMEOUT_MS): Promise<Results> {
  const report = join(folder, "report.json");
  const vitest = join(folder, "node_modules/vitest/vitest.mjs");
  const args = [
    vitest,
    "run",
    "--root",
    folder,
    "--project",
    "unit",
    "--reporter=json",
    `--outputFile=${report}`,
    ...tests,
  ];
  try {
    await run(process.execPath, args, { cwd: folder, timeout, env: { ...process.env, NETMEM_SEED: "1" } });
  } catch (error) {
    // Failing tests are what we are here for.
    if ((error as { killed?: boolean }).killed === true)
      throw new Error(`no end after ${timeout} ms`, { cause: error });
  }
  return readReport(folder, report);
}

function readReport(folder: string, report: string): Results {
  interface Report {
    readonly testResults: readonly { readonly name: string; readonly assertionResults: readonly TestResult[] }[];
  }
  const { testResults } = JSON.parse(readFileSync(report, "utf8")) as Report;
  return new Map(testResults.map(({ name, assertionResults }) => [relative(folder, name), assertionResults]));
}

async function inCopy<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = copyTree();
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Titles that start as expected and failed, in files where something else passed. */
function killers(mutant: Mutant, results: Results): string[] {
  return mutant.tests
    .flatMap((file) => {
      const all = results.get(file) ?? [];
      if (!all.some(({ status }) => status === "passed")) return [];
      return all.filter(
        ({ title, status }) => status === "failed" && mutant.expects.some((start) => title.startsWith(start)),
      );
    })
    .map(({ title }) => title);
}

async function judge(mutant: Mutant): Promise<Verdict> {
  const started = performance.now();
  const verdict = (killed: boolean, detail: string): Verdict => {
    return { mutant, killed, detail, seconds: (performance.now() - started) / 1000 };
  };
  try {
    const found = await inCopy(async (folder) => {
      await applyPatch(folder, mutant);
      return killers(mutant, await runTests(folder, mutant.tests));
    });
    return found.length > 0 ? verdict(true, summary(found)) : verdict(false, `SURVIVES ${mutant.expects.join(", ")}`);
  } catch (error) {
    return verdict(false, `ERROR ${(error as Error).message}`);
  }
}

function summary(titles: readonly string[]): string {
  const starts = titles.map((title) => /^#\d+/.exec(title)?.[0] ?? title.slice(0, 24));
  return [...new Set(starts)].join(" ");
}

/** The named tests must pass without a mutant, or their failing proves nothing. */
async function checkBaseline(mutants: readonly Mutant[]): Promise<void> {
  const tests = [...new Set(mutants.flatMap(({ tests }) => tests))];
  const results = await inCopy((folder) => runTests(folder, tests, BASELINE_TIMEOUT_MS));
  const red = mutants.flatMap((mutant) => killers(mutant, results));
  if (red.length > 0) throw new Error(`fail without any mutant: ${[...new Set(red)].join("; ")}`);
  const empty = tests.filter((file) => (results.get(file) ?? []).length === 0);
  if (empty.length > 0) throw new Error(`no tests ran in ${empty.join(", ")}`);
}

function print({ mutant, killed, detail, seconds }: Verdict): void {
  console.log(
    `${killed ? "killed  " : "NOT DEAD"} ${mutant.name.padEnd(36)} ${seconds.toFixed(1).padStart(5)} s  ${detail}`,
  );
}

/** Judges with as many vitest processes at a time as there are CPUs, four at most. */
async function judgeAll(mutants: readonly Mutant[]): Promise<Verdict[]> {
  const waiting = [...mutants];
  const verdicts: Verdict[] = [];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const verdict = await judge(next);
      print(verdict);
      verdicts.push(verdict);
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, worker));
  return verdicts;
}

async function main(words: readonly string[]): Promise<void> {
  const tests = testFiles();
  const names = readdirSync(PATCHES).filter((name) => name.endsWith(".patch"));
  const wanted = names.filter((name) => words.length === 0 || words.some((word) => name.includes(word))).sort();
  const mutants = wanted.map((name) => readMutant(join(PATCHES, name), tests));
  if (mutants.length === 0) throw new Error(`no patch in tests/mutants matches ${words.join(" ")}`);
  await checkBaseline(mutants);
  const verdicts = await judgeAll(mutants);
  const dead = verdicts.filter(({ killed }) => killed).length;
  console.log(`mutants: ${dead} killed, ${verdicts.length - dead} not`);
  process.exitCode = dead === verdicts.length ? 0 : 1;
}

await main(process.argv.slice(2));
