/** What the checks throw: any test runner shows its message. */
export class CheckError extends Error {
  override readonly name: string = "CheckError";
}

/** Throws {@link CheckError} with `message` unless `condition` is true. */
export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new CheckError(message);
}

/** Throws {@link CheckError} unless both are the same: by `Object.is`; arrays, typed arrays and plain objects part by part. */
export function checkEqual(actual: unknown, expected: unknown, what = "value"): void {
  if (!isSame(actual, expected)) {
    throw new CheckError(`${what}: expected ${describe(expected)}, got ${describe(actual)}`);
  }
}

/**
 * Throws {@link CheckError} unless `fn` throws; with `code`, the error's `code` property must be that. Returns what was
 * thrown.
 */
export function checkThrows(fn: () => unknown, code?: string, what = "call"): unknown {
  let thrown: unknown;
  try {
    fn();
  } catch (error) {
    thrown = error;
    if (code !== undefined) checkEqual(codeOf(error), code, `${what}: error code`);
    return thrown;
  }
  throw new CheckError(`${what}: expected ${code ?? "an error"}, nothing was thrown`);
}

function codeOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
}

function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const prototype: unknown = Object.getPrototypeOf(a);
  if (prototype !== Object.getPrototypeOf(b)) return false;
  if (prototype !== Object.prototype && !Array.isArray(a) && !isTypedArray(a)) return false;
  const keysOfA = Object.keys(a);
  if (keysOfA.length !== Object.keys(b).length) return false;
  return keysOfA.every((key) => Object.hasOwn(b, key) && isSame(Reflect.get(a, key), Reflect.get(b, key)));
}

/** A DataView has no parts that could be compared one by one. */
function isTypedArray(value: unknown): boolean {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

function describe(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (isTypedArray(value)) return `[${Array.from(value as Uint8Array).join(", ")}]`;
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
