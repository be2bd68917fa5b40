import type { Tree } from "./tree.ts";

/** One broken rule at one place. A warning is printed and fails nothing. */
export interface Finding {
  readonly rule: string;
  readonly path: string;
  readonly line: number;
  readonly message: string;
  readonly warning?: boolean;
}

export type Rule = (tree: Tree) => Finding[];

export function formatFinding({ rule, path, line, message, warning }: Finding): string {
  return `${path}:${line}: ${warning === true ? "warning: " : ""}${message} (${rule})`;
}
