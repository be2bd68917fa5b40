import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGES = fileURLToPath(new URL("../../packages", import.meta.url));

/** Source that can turn a reference into bytes: the arena's views, or where a buffer lies in them. */
const TOUCHES_BYTES = /\bu8\b|\boffsetOf\(|\bmemory\.buffer\b/;
/** Parameters, or results, that are buffers or packets of buffers. */
const IS_BUFFER = /\b(NetmemRef|NetIovRef|ReadableRef|SkbRef|FrameRef|XdpBuff)\b|\b(refs|skbs|frames): Int32Array\b/;
/** What a value import looks like. */
const IMPORT = /import\s+(?!type\b)\{([^}]*)\}\s+from\s+"([^"]+)"/g;
const EXPORTED = /^export (?:async )?(function|class) (\w+)/gm;
const METHOD =
  /^ {2}(?!private|constructor|declare|return|if|for|while)(?:static )?(?:async )?(?:get )?(\w+)\([^)]*\)[^;{]*\{/gm;

/**
 * One export of a package, or a method of one, that can reach bytes: a function with buffers among its parameters in a
 * file from where the arena's bytes can be reached, or a method that has buffers among its parameters or touches bytes.
 */
export interface ByteExport {
  /** `package name`, or `package Class.method`. */
  readonly name: string;
  readonly file: string;
}

interface Source {
  readonly path: string;
  readonly text: string;
}

function sourcesOf(packageName: string): Source[] {
  const folder = join(PACKAGES, packageName, "src");
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => join(folder, path))
    .map((path) => ({ path, text: readFileSync(path, "utf8") }));
}

/** Files that touch bytes themselves, or call into a file of their package that does. */
function byteFiles(sources: readonly Source[]): Set<string> {
  const found = new Set(sources.filter(({ text }) => TOUCHES_BYTES.test(text)).map(({ path }) => path));
  for (let before = -1; before !== found.size;) {
    before = found.size;
    for (const { path, text } of sources) if (importsOf(path, text).some((other) => found.has(other))) found.add(path);
  }
  return found;
}

function importsOf(path: string, text: string): string[] {
  const files: string[] = [];
  for (const [, names = "", from = ""] of text.matchAll(IMPORT)) {
    const hasValue = names.split(",").some((name) => name.trim() !== "" && !name.trim().startsWith("type "));
    if (hasValue && from.startsWith(".")) files.push(join(dirname(path), from));
  }
  return files;
}

/** The text of a declaration's head: up to the brace that opens its body. */
function headAt(text: string, from: number): string {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    if (text[at] === "(") depth++;
    if (text[at] === ")") depth--;
    if (text[at] === "{" && depth === 0) return text.slice(from, at);
  }
  return text.slice(from);
}

/** The text of a class, or of a method that is indented by `indent`. */
function bodyAt(text: string, from: number, indent: string): string {
  return text.slice(from, text.indexOf(`\n${indent}}`, from));
}

function exportsIn({ path, text }: Source, packageName: string): ByteExport[] {
  const file = relative(PACKAGES, path);
  const found: ByteExport[] = [];
  for (const { 1: kind, 2: name = "", index } of text.matchAll(EXPORTED)) {
    if (kind === "function") {
      if (IS_BUFFER.test(headAt(text, index))) found.push({ name: `${packageName} ${name}`, file });
      continue;
    }
    const body = bodyAt(text, index, "");
    for (const { 0: head, 1: method = "", index: at } of body.matchAll(METHOD)) {
      if (IS_BUFFER.test(head) || TOUCHES_BYTES.test(bodyAt(body, at, "  ")))
        found.push({ name: `${packageName} ${name}.${method}`, file });
    }
  }
  return found;
}

/** Names that a package's entry points export. */
function publicNames(packageName: string): Set<string> {
  const manifest = JSON.parse(readFileSync(join(PACKAGES, packageName, "package.json"), "utf8")) as {
    exports: Record<string, string>;
  };
  const names = new Set<string>();
  for (const [subpath, file] of Object.entries(manifest.exports)) {
    const path = join(PACKAGES, packageName, file);
    // Test suites have no memory of their own; an entry point whose file is not there exports nothing.
    if (!file.endsWith(".ts") || subpath.includes("conformance") || !existsSync(path)) continue;
    const text = readFileSync(path, "utf8");
    for (const [, list = ""] of text.matchAll(/export\s*\{([^}]*)\}/g)) {
      for (const name of list.split(",")) names.add(name.trim().split(" as ").at(-1)!.trim());
    }
  }
  return names;
}

/** Every function and method that packages export, has to do with buffers, and can reach bytes. */
export function findByteExports(): ByteExport[] {
  return readdirSync(PACKAGES).flatMap((packageName) => {
    const sources = sourcesOf(packageName);
    const files = byteFiles(sources);
    const names = publicNames(packageName);
    return sources
      .filter(({ path }) => files.has(path))
      .flatMap((source) => exportsIn(source, packageName))
      .filter(({ name }) => names.has(name.split(" ")[1]!.split(".")[0]!));
  });
}
