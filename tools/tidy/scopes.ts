/** A function body of a source text. */
export interface FunctionScope {
  readonly name: string;
  /** Index of the `{` that opens the body, and of the `}` that closes it. */
  readonly from: number;
  readonly to: number;
  /** Index of the first character of the declaration. */
  readonly headerFrom: number;
}

const KEYWORDS = new Set(["if", "for", "while", "switch", "catch", "with", "function"]);
const NAMED = /\bfunction\s*\*?\s*(\w+)\s*(<.*>)?\s*\(/s;
const METHOD = /(?:^|\s|\*)(#?\w+)\s*(?:<[^(]*>)?\s*\((?:.|\n)*\)\s*(?::[^=]*)?$/;
const ARROW = /(?:(?:const|let)\s+(\w+)[^=]*=\s*)?.*=>\s*$/s;

/** The name of the function whose body follows `header`; null where it is no function. */
function functionName(header: string): string | null {
  const named = NAMED.exec(header);
  if (named !== null) return named[1]!;
  const arrow = ARROW.exec(header);
  if (arrow !== null) return arrow[1] ?? "(arrow)";
  if (/\b(class|interface|enum|namespace)\b/.test(header)) return null;
  const first = /^\s*(?:\}\s*)?(\w+)/.exec(header)?.[1] ?? "";
  if (KEYWORDS.has(first) || first === "else" || first === "do" || first === "return") return null;
  const method = METHOD.exec(header);
  if (method === null || KEYWORDS.has(method[1]!) || /[=;]\s*$/.test(header)) return null;
  return method[1]!;
}

interface Open {
  readonly name: string | null;
  readonly at: number;
  readonly headerFrom: number;
}

/** Start of the declaration that ends before `at`: after the last `;`, `{` or `}` outside parentheses. */
function headerStart(code: string, at: number): number {
  let depth = 0;
  for (let i = at - 1; i >= 0; i--) {
    const char = code[i]!;
    if (char === ")" || char === "]") depth++;
    else if (char === "(" || char === "[") {
      if (depth === 0) return i + 1;
      depth--;
    } else if (depth === 0 && (char === ";" || char === "{" || char === "}")) return i + 1;
  }
  return 0;
}

/** A block begins. One directly behind another is the body after a return type of braces. */
function openAt(code: string, at: number, last: FunctionScope | undefined): Open {
  const headerFrom = headerStart(code, at);
  const header = code.slice(headerFrom, at);
  if (header.trim() === "" && last !== undefined && last.to === headerFrom - 1) {
    return { name: last.name, at, headerFrom: last.headerFrom };
  }
  return { name: functionName(header), at, headerFrom };
}

/** All function bodies of a text whose comments and strings are blanked. */
export function findFunctions(code: string): FunctionScope[] {
  const found: FunctionScope[] = [];
  const open: Open[] = [];
  for (let at = 0; at < code.length; at++) {
    if (code[at] === "{") {
      open.push(openAt(code, at, found.at(-1)));
    } else if (code[at] === "}") {
      const scope = open.pop();
      if (scope === undefined || scope.name === null) continue;
      found.push({ name: scope.name, from: scope.at, to: at, headerFrom: scope.headerFrom });
    }
  }
  return found;
}

/** The functions around `at`, innermost first. */
export function enclosing(functions: readonly FunctionScope[], at: number): FunctionScope[] {
  return functions.filter(({ from, to }) => from < at && at < to).toSorted((a, b) => b.from - a.from);
}
