/*
 * Modules of Node.js, got from the runtime when they are needed. Nothing is imported from `node:` but types, so a browser
 * that bundles this package loads it like any other.
 */
import type * as fs from "node:fs";
import type * as nodeModule from "node:module";
import type * as os from "node:os";
import { checkPlatform, type RuntimeLike } from "./platform.ts";

interface Builtins {
  readonly "node:fs": typeof fs;
  readonly "node:module": typeof nodeModule;
  readonly "node:os": typeof os;
}

/** A module of Node.js, got when it is needed. Call only where {@link checkPlatform} passed. */
export function builtin<Id extends keyof Builtins>(id: Id): Builtins[Id] {
  const found = (globalThis as RuntimeLike).process?.getBuiltinModule?.(id);
  if (found !== undefined) return found as Builtins[Id];
  checkPlatform();
  throw new TypeError(`no built-in module ${id}`);
}

/** Process id of this process. */
export function ownPid(): number {
  return (globalThis as RuntimeLike).process?.pid ?? 0;
}
