import { isNetmemError, type NetmemError } from "@netmem/core";
import { afterEach, beforeEach } from "vitest";
import { makeStand, type Stand, type StandParams, whyNoAfXdp } from "./fixture.ts";

export interface Stands {
  /** Run after the test, the last one first. */
  readonly cleanups: (() => void)[];
  /** A stand that is closed after the test. */
  readonly stand: (params?: StandParams) => Stand;
}

/** For files whose every test needs a cable of the kernel: where none can be had, they are skipped and say why. */
export function useStands(): Stands {
  const whyNot = whyNoAfXdp();
  const cleanups: (() => void)[] = [];
  beforeEach((context) => {
    if (whyNot !== null) context.skip(`no AF_XDP here: ${whyNot}`);
  });
  afterEach(() => {
    for (const cleanup of cleanups.splice(0).reverse()) cleanup();
  });
  const stand = (params: StandParams = {}): Stand => {
    const made = makeStand(params);
    cleanups.push(() => made.close());
    return made;
  };
  return { cleanups, stand };
}

/** The error that `work` must throw. */
export function errorOf(work: () => unknown): NetmemError {
  try {
    work();
  } catch (error) {
    if (isNetmemError(error)) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
