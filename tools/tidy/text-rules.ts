import { type Finding, type Rule } from "./finding.ts";
import type { SourceFile, Tree } from "./tree.ts";

const TS = /\.(ts|mts|tsx)$/;
const MAX_LINE = 160;
const WARN_LINES = 300;
const MAX_LINES = 500;
const MAX_FILE_BYTES = 2 * 1024 * 1024;

interface Pattern {
  readonly rule: string;
  readonly pattern: RegExp;
  readonly view: "code" | "comments" | "text";
  readonly files: RegExp;
  readonly except?: RegExp;
  readonly message: string;
}

const PATTERNS: readonly Pattern[] = [
  {
    rule: "no-default-export",
    pattern: /\bexport default\b/,
    view: "code",
    files: TS,
    except: /\.config\.ts$/,
    message: "export by name",
  },
  { rule: "no-export-star", pattern: /\bexport \*/, view: "code", files: TS, message: "list what is exported" },
  {
    rule: "no-any",
    pattern: /:\s*any\b|\bas any\b|<any\b|\bany\[\]/,
    view: "code",
    files: TS,
    message: "`any` turns the type checker off: use `unknown` or the type",
  },
  {
    rule: "no-ts-ignore",
    pattern: /@ts-(ignore|nocheck)\b/,
    view: "comments",
    files: TS,
    message: "fix the type, or say what is expected with @ts-expect-error",
  },
  {
    rule: "no-todo",
    pattern: /\b(TODO|FIXME|XXX)\b/,
    view: "comments",
    files: TS,
    message: "do it, or open an issue",
  },
  {
    rule: "no-todo",
    pattern: /\b(TODO|FIXME|XXX)\b/,
    view: "text",
    files: /\.(md|ya?ml|sh|c|h)$/,
    message: "do it, or open an issue",
  },
  {
    rule: "no-only",
    pattern: /\b(it|test|describe|suite|bench)\.only\b/,
    view: "code",
    files: TS,
    message: "`.only` leaves the other tests out",
  },
  {
    rule: "no-machine-path",
    pattern: /(?<![\w.$})-])\/(?:home|root|Users)\//,
    view: "comments",
    files: TS,
    message: "a path of somebody's machine",
  },
];

function viewOf(file: SourceFile, view: Pattern["view"]): string[] {
  if (view === "text") return file.lines;
  return file.blanked[view].split("\n");
}

function findPattern(tree: Tree, { rule, pattern, view, files, except, message }: Pattern): Finding[] {
  const found: Finding[] = [];
  for (const file of tree.matching(files)) {
    if (except?.test(file.path)) continue;
    viewOf(file, view).forEach((line, n) => {
      if (pattern.test(line)) found.push({ rule, path: file.path, line: n + 1, message });
    });
  }
  return found;
}

export const patternRule: Rule = (tree) => PATTERNS.flatMap((pattern) => findPattern(tree, pattern));

export const lineLengthRule: Rule = (tree) =>
  tree.matching(TS).flatMap((file) =>
    file.lines.flatMap((text, n) => {
      if (text.length <= MAX_LINE || /https?:\/\//.test(text)) return [];
      return {
        rule: "line-length",
        path: file.path,
        line: n + 1,
        message: `${text.length} characters, at most ${MAX_LINE}`,
      };
    }),
  );

export const fileLengthRule: Rule = (tree) =>
  tree.matching(TS).flatMap(({ path, lines }) => {
    const count = lines.filter((line) => line.trim() !== "").length;
    if (count <= WARN_LINES) return [];
    const warning = count <= MAX_LINES;
    const message = `${count} lines, ${warning ? `aim for ${WARN_LINES}` : `at most ${MAX_LINES}`}`;
    return { rule: "file-length", path, line: 1, message, warning };
  });

export const fileSizeRule: Rule = (tree) =>
  tree.files
    .filter(({ sizeBytes }) => sizeBytes > MAX_FILE_BYTES)
    .map(({ path, sizeBytes }) => ({
      rule: "file-size",
      path,
      line: 1,
      message: `${sizeBytes} bytes, at most ${MAX_FILE_BYTES}`,
    }));

/** Names that say nothing, and source files that lie where nothing builds or tests them. */
export const fileNameRule: Rule = (tree) =>
  tree.matching(TS).flatMap(({ path }) => {
    if (/(^|\/)utils?\.ts$/.test(path)) {
      return { rule: "file-name", path, line: 1, message: "name the file after what is in it" };
    }
    if (/^packages\/[^/]+\/[^/]+$/.test(path) && !path.endsWith(".config.ts")) {
      return { rule: "file-name", path, line: 1, message: "sources of a package lie in src/ or test/" };
    }
    return [];
  });

const RE_EXPORT = /export\s+(type\s+)?\{[^}]*\}\s*from\s*"[^"]*";/g;

/** The public surface of a package is a list: nothing is defined in an index.ts. */
export const indexRule: Rule = (tree) =>
  tree.matching(/^packages\/[^/]+\/src\/(.*\/)?index\.ts$/).flatMap((file) => {
    const rest = file.blanked.code.replaceAll(RE_EXPORT, (text) => text.replaceAll(/[^\n]/g, " "));
    const line = rest.split("\n").findIndex((text) => text.trim() !== "");
    return line < 0
      ? []
      : { rule: "index", path: file.path, line: line + 1, message: "an index.ts only re-exports, by name" };
  });

export const textRules: readonly Rule[] = [
  patternRule,
  lineLengthRule,
  fileLengthRule,
  fileSizeRule,
  fileNameRule,
  indexRule,
];
