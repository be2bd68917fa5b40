/** The first example of a README that can be run. */
export interface Example {
  readonly language: "ts" | "js";
  readonly code: string;
  /** What the README says that it prints; null where it does not say. */
  readonly prints: string | null;
  /** Packages of ours that it imports. */
  readonly imports: readonly string[];
}

const BLOCK = /^```(ts|js)\n([\s\S]*?)^```$/m;
/** A block directly after the example that a line ending in "prints:" leads to. */
const PRINTS = /^\s*(?:[^\n]*\b)?prints:\s*```(?:text|console)?\n([\s\S]*?)^```$/im;
const IMPORT = /\bfrom\s+"((?:@netmem\/[^"/]+|netmem))[^"]*"/g;

export function firstExample(markdown: string): Example | null {
  const match = BLOCK.exec(markdown);
  if (match === null) return null;
  const code = match[2]!;
  const after = markdown.slice(match.index + match[0].length);
  const prints = PRINTS.exec(after);
  return {
    language: match[1] as "ts" | "js",
    code,
    prints: prints !== null && prints.index === 0 ? prints[1]! : null,
    imports: [...new Set([...code.matchAll(IMPORT)].map((one) => one[1]!))],
  };
}

/** What is wrong with the output of an example. */
export function outputProblem({ prints }: Example, stdout: string): string | null {
  if (prints === null || prints.trim() === stdout.trim()) return null;
  return `prints\n${stdout.trim()}\nand not, as the README says,\n${prints.trim()}`;
}
