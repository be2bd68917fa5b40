import { type Finding, type Rule } from "./finding.ts";
import type { SourceFile } from "./tree.ts";

const MD = /\.md$/;
/** Written by a tool, one entry per change, without a title. */
const CHANGESET = /^\.changeset\/(?!README)/;
const LIMITS_HEADING = /^#{2,3} .*\b(not|limits?|limitations?)\b/i;
const MACHINE_PATH = /(?<![\w.$})-])\/(?:home|root|Users|tmp)\//;
const HYPE = new RegExp(
  `\\b(${[
    "blazing(ly)?",
    "lightning[- ]fast",
    "simply",
    "just works?",
    "seamless(ly)?",
    "effortless(ly)?",
    "world[- ]class",
    "cutting[- ]edge",
    "state[- ]of[- ]the[- ]art",
    "revolutionary",
    "game[- ]chang\\w+",
    "supercharged?",
    "battle[- ]tested",
    "enterprise[- ]grade",
    "rock[- ]solid",
  ].join("|")})\\b`,
  "i",
);

interface Line {
  readonly text: string;
  readonly number: number;
  readonly fenced: boolean;
}

/** The lines of a markdown file, and whether each lies in a block of code; the fences themselves do. */
export function markdownLines(text: string): Line[] {
  let fence: string | null = null;
  return text.split("\n").map((line, n) => {
    const mark = /^\s*(```+|~~~+)/.exec(line)?.[1];
    const fenced = fence !== null || mark !== undefined;
    if (fence === null) fence = mark ?? null;
    else if (mark !== undefined && mark.startsWith(fence)) fence = null;
    return { text: line, number: n + 1, fenced };
  });
}

export const titleRule: Rule = (tree) =>
  tree.matching(MD).flatMap(({ path, text }) => {
    if (CHANGESET.test(path)) return [];
    const titles = markdownLines(text).filter((line) => !line.fenced && line.text.startsWith("# "));
    if (titles.length === 1) return [];
    const line = titles[1]?.number ?? 1;
    return { rule: "title", path, line, message: `${titles.length} titles ("# ..."), must be one` };
  });

/** Words of advertisement, in prose and in comments. */
export const hypeRule: Rule = (tree) => {
  const inText = (file: SourceFile, lines: string[]): Finding[] =>
    lines.flatMap((text, n) => {
      const word = HYPE.exec(text)?.[0];
      if (word === undefined) return [];
      return {
        rule: "hype",
        path: file.path,
        line: n + 1,
        message: `"${word}" says nothing: leave it out, or give the number`,
      };
    });
  return [
    ...tree.matching(MD).flatMap((file) => inText(file, file.lines)),
    ...tree.matching(/\.ts$/).flatMap((file) => inText(file, file.blanked.comments.split("\n"))),
  ];
};

export const machinePathRule: Rule = (tree) =>
  tree.matching(MD).flatMap(({ path, lines }) =>
    lines.flatMap((text, n) => {
      if (!MACHINE_PATH.test(text)) return [];
      return { rule: "no-machine-path", path, line: n + 1, message: "a path of somebody's machine" };
    }),
  );

/** What the README of a package must have. */
export const readmeRule: Rule = (tree) =>
  tree.packageDirs().flatMap((dir) => {
    const path = `packages/${dir}/README.md`;
    const problem = (message: string): Finding => ({ rule: "readme", path, line: 1, message });
    const file = tree.get(path);
    if (file === undefined) return problem("missing");
    const found: Finding[] = [];
    const lines = markdownLines(file.text);
    if (!lines.some(({ text }) => /^\s*```(ts|js)\b/.test(text)))
      found.push(problem("no example (a block of ts or js)"));
    if (!lines.some(({ text, fenced }) => !fenced && LIMITS_HEADING.test(text))) {
      found.push(problem('no section on its limits ("## What it does not do")'));
    }
    return found;
  });

export const markdownRules: readonly Rule[] = [titleRule, hypeRule, machinePathRule, readmeRule];
