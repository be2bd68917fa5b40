import type { Context } from "./context.ts";

/**
 * Runs `work` with the no-direct flag set: returns that promise the owner's poll (`returnNetmemRxNapi`) lose their
 * promise, because this caller runs in softirq context without being that poll. The flag is what it was afterwards, also
 * when `work` throws. Kernel: `xdp_set_return_frame_no_direct`, used by the cpumap thread and by test runs. Once per burst.
 */
export function withNoDirect<T>(context: Context, work: () => T): T {
  const before = context.noDirect;
  context.noDirect = true;
  try {
    return work();
  } finally {
    context.noDirect = before;
  }
}
