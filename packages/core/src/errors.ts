/** What an error says beyond its code: which input was wrong, its value, and what to do about it. */
export interface NetmemErrorInit {
  /** Stable identifier, `ERR_NETMEM_...`. Never reworded within a major version. */
  readonly code: string;
  /** One sentence saying what is wrong. */
  readonly reason: string;
  /** What the caller can do about it, as an imperative sentence. */
  readonly remedy: string;
  /** The kernel's errno name where the kernel has one for the same mistake. */
  readonly errno?: string;
  /** Name of the offending parameter. */
  readonly param?: string;
  /** The offending value. */
  readonly value?: unknown;
  readonly cause?: unknown;
}

/**
 * The one error class of netmem. Recognise it with {@link isNetmemError} and switch on `code`;
 * `instanceof` fails when two copies of a package are installed.
 */
export class NetmemError extends Error {
  readonly code: string;
  readonly errno: string | undefined;
  readonly param: string | undefined;
  readonly value: unknown;
  readonly remedy: string;

  constructor(init: NetmemErrorInit) {
    super(`${init.code}: ${init.reason}. ${init.remedy}`, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = "NetmemError";
    this.code = init.code;
    this.errno = init.errno;
    this.param = init.param;
    this.value = init.value;
    this.remedy = init.remedy;
  }
}

/** True for a {@link NetmemError} of any copy of this package. */
export function isNetmemError(error: unknown): error is NetmemError {
  return error instanceof Error && error.name === "NetmemError";
}

/** Throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) for a bad control-path argument. */
export function failParam(param: string, value: unknown, expected: string, remedy: string): never {
  throw new NetmemError({
    code: "ERR_NETMEM_INVALID_PARAM",
    errno: "EINVAL",
    reason: `${param} is ${String(value)}, expected ${expected}`,
    remedy,
    param,
    value,
  });
}

/** Returns `value` when it is an integer in `[min, max]`, else throws `ERR_NETMEM_INVALID_PARAM`. */
export function checkInt(param: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    failParam(param, value, `an integer from ${min} to ${max}`, `Pass ${param} within that range.`);
  }
  return value;
}
