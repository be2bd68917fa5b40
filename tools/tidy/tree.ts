import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { blank, type Blanked } from "./blank.ts";

const BINARY = /\.(pcap|pcapng|png|jpg|gif|ico|woff2?|o|bin|gz|wasm)$/;

/** One file of the repository; what is costly is read and computed once, when asked for. */
export class SourceFile {
  readonly path: string;
  private readonly load: () => string;
  readonly sizeBytes: number;
  private cachedText: string | undefined;
  private cachedBlank: Blanked | undefined;

  constructor(path: string, sizeBytes: number, load: () => string) {
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.load = load;
  }

  get text(): string {
    return (this.cachedText ??= BINARY.test(this.path) ? "" : this.load());
  }

  get lines(): string[] {
    return this.text.split("\n");
  }

  get blanked(): Blanked {
    return (this.cachedBlank ??= blank(this.text));
  }
}

/** The files that git tracks, or would. */
export class Tree {
  readonly files: readonly SourceFile[];
  private readonly byPath: ReadonlyMap<string, SourceFile>;

  constructor(files: readonly SourceFile[]) {
    this.files = files;
    this.byPath = new Map(files.map((file) => [file.path, file]));
  }

  get(path: string): SourceFile | undefined {
    return this.byPath.get(path);
  }

  matching(pattern: RegExp): SourceFile[] {
    return this.files.filter(({ path }) => pattern.test(path));
  }

  /** The folders under packages/. */
  packageDirs(): string[] {
    const dirs = this.files.map(({ path }) => /^packages\/([^/]+)\//.exec(path)?.[1]);
    return [...new Set(dirs.filter((dir) => dir !== undefined))];
  }
}

export function loadTree(root: string): Tree {
  const args = ["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const listed = execFileSync("git", args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });
  const paths = [...new Set(listed.split("\0"))]
    .filter((path) => path !== "" && existsSync(join(root, path)))
    .toSorted();
  return new Tree(
    paths.map(
      (path) => new SourceFile(path, statSync(join(root, path)).size, () => readFileSync(join(root, path), "utf8")),
    ),
  );
}

/** A tree from texts, for tests. */
export function treeOf(texts: Record<string, string>): Tree {
  return new Tree(Object.entries(texts).map(([path, text]) => new SourceFile(path, text.length, () => text)));
}
