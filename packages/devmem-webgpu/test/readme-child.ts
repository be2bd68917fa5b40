/** Runs the README's example; its last line is JSON: what the example printed. */

import { readFileSync } from "node:fs";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const example = /```js\n(.*?)```/s.exec(readme)?.[1] ?? "";
const source = example.replaceAll("@netmem/devmem-webgpu", new URL("../src/index.ts", import.meta.url).href);
const printed: string[] = [];
const { log } = console;
console.log = (line: string) => void printed.push(line);
await import(`data:text/javascript,${encodeURIComponent(source)}`);
const [first = ""] = printed;
log(JSON.stringify(first.startsWith("ERR_NETMEM_NO_GPU") ? { reason: first } : { printed }));
