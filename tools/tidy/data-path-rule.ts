import { type Finding, type Rule } from "./finding.ts";
import { enclosing, findFunctions, type FunctionScope } from "./scopes.ts";
import type { SourceFile } from "./tree.ts";

/** The marker of a file that runs per packet: its first comment begins with these words. */
const MARKER = /^\s*(\/\*[\s*]*|\/\/\s*)data path\b/;
/** A function of such a file that does not run per packet says so in the comment before it. */
const COLD_COMMENT = /control path/i;
const COLD_NAME = /^(constructor|create\w*|fail\w*)$/;

interface Ban {
  readonly pattern: RegExp;
  readonly what: string;
}

const BANS: readonly Ban[] = [
  { pattern: /\bfor\s*(?:await\s*)?\(\s*(?:const|let|var)\b[^;()]*\bof\b/g, what: "`for ... of` makes an iterator" },
  { pattern: /\.\.\.(?=[\w[({])/g, what: "a spread or rest copies" },
  { pattern: /\bnew\s+(?!\w*Error\b)[A-Z]\w*/g, what: "`new` allocates" },
  { pattern: /=>/g, what: "a closure is allocated on each call" },
  { pattern: /\bBig(?:Int|Int64Array|Uint64Array)\b|\b\d+n\b/g, what: "a bigint is allocated on each operation" },
  { pattern: /\.subarray\s*\(/g, what: "`subarray` allocates a view" },
];

/** The text with every `throw ...;` blanked: what fails may allocate. */
function withoutThrows(code: string): string {
  let out = code;
  for (const { index } of code.matchAll(/\bthrow\b/g)) {
    let depth = 0;
    let end = index;
    for (; end < code.length; end++) {
      if ("([{".includes(code[end]!)) depth++;
      if (")]}".includes(code[end]!)) depth--;
      if (depth < 0 || (depth === 0 && code[end] === ";")) break;
    }
    out = out.slice(0, index) + out.slice(index, end).replaceAll(/[^\n]/g, " ") + out.slice(end);
  }
  return out;
}

/** The comment that stands directly before a declaration. */
function commentBefore(comments: string, code: string, { headerFrom }: FunctionScope): string {
  const first = code.slice(headerFrom).search(/\S/) + headerFrom;
  return comments.slice(headerFrom, first);
}

function isCold(file: SourceFile, scopes: readonly FunctionScope[]): boolean {
  const { code, comments } = file.blanked;
  return scopes.some((scope) => COLD_NAME.test(scope.name) || COLD_COMMENT.test(commentBefore(comments, code, scope)));
}

function inFile(file: SourceFile): Finding[] {
  const code = withoutThrows(file.blanked.code);
  const functions = findFunctions(file.blanked.code);
  const found: Finding[] = [];
  for (const { pattern, what } of BANS) {
    for (const { index } of code.matchAll(pattern)) {
      const scopes = enclosing(functions, index);
      if (scopes.length === 0 || isCold(file, scopes)) continue;
      const line = code.slice(0, index).split("\n").length;
      found.push({
        rule: "data-path",
        path: file.path,
        line,
        message: `${what}, in ${scopes.at(-1)!.name} on the data path`,
      });
    }
  }
  return found;
}

export const dataPathRule: Rule = (tree) =>
  tree
    .matching(/^packages\/[^/]+\/src\/.*\.ts$/)
    .filter(({ text }) => MARKER.test(text))
    .flatMap(inFile);
