/** `node tools/tidy.ts`: the rules of this repository that no other tool checks. See tools/tidy/. */

import { dataPathRule } from "./tidy/data-path-rule.ts";
import { applyExceptions } from "./tidy/exceptions.ts";
import { formatFinding, type Rule } from "./tidy/finding.ts";
import { importRule } from "./tidy/import-rule.ts";
import { markdownRules } from "./tidy/markdown-rules.ts";
import { packageRules } from "./tidy/package-rules.ts";
import { textRules } from "./tidy/text-rules.ts";
import { loadTree } from "./tidy/tree.ts";

const RULES: readonly Rule[] = [...textRules, dataPathRule, ...markdownRules, ...packageRules, importRule];

const tree = loadTree(new URL("..", import.meta.url).pathname);
const findings = applyExceptions(RULES.flatMap((rule) => rule(tree)));
const errors = findings.filter(({ warning }) => warning !== true);

for (const finding of findings) console.log(formatFinding(finding));
console.log(`tidy: ${tree.files.length} files, ${errors.length} errors, ${findings.length - errors.length} warnings`);
process.exitCode = errors.length > 0 ? 1 : 0;
