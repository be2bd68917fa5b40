import type { Finding } from "./finding.ts";

/** A rule that does not hold for a file, or for all below a folder (a path that ends with "/"), and why. */
export interface Exception {
  readonly rule: string;
  readonly path: string;
  readonly reason: string;
}

export const EXCEPTIONS: readonly Exception[] = [
  {
    rule: "no-node",
    path: "packages/linux/src/node-builtins.ts",
    reason: "types of the modules that it gets from the runtime when they are needed; importing it needs no Node.js",
  },
];

function covers({ rule, path }: Exception, finding: Finding): boolean {
  return rule === finding.rule && (path.endsWith("/") ? finding.path.startsWith(path) : finding.path === path);
}

/** Takes out what the table excepts. An exception that nothing needs any more is a finding itself. */
export function applyExceptions(
  findings: readonly Finding[],
  exceptions: readonly Exception[] = EXCEPTIONS,
): Finding[] {
  const unused = exceptions.filter((exception) => !findings.some((finding) => covers(exception, finding)));
  const kept = findings.filter((finding) => !exceptions.some((exception) => covers(exception, finding)));
  return [
    ...kept,
    ...unused.map(({ rule, path }) => ({
      rule: "exception",
      path: "tools/tidy/exceptions.ts",
      line: 1,
      message: `${path} no longer needs its exception from ${rule}`,
    })),
  ];
}
