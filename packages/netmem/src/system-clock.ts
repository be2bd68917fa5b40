import type { Clock, TimerId } from "@netmem/core";
import { runtime } from "./runtime.ts";

type Handle = ReturnType<ReturnType<typeof runtime>["setTimeout"]>;

/** The runtime's monotonic clock and timers. Timers do not keep a process alive. */
export class SystemClock implements Clock {
  private readonly handles = new Map<TimerId, Handle>();
  private next: TimerId = 1;

  nowMs(): number {
    return runtime().performance.now();
  }

  setTimer(fn: () => void, delayMs: number): TimerId {
    const id = this.next++;
    const handle = runtime().setTimeout(() => {
      this.handles.delete(id);
      fn();
    }, delayMs);
    if (typeof handle === "object") handle.unref?.();
    this.handles.set(id, handle);
    return id;
  }

  clearTimer(id: TimerId): void {
    const handle = this.handles.get(id);
    if (handle === undefined) return;
    this.handles.delete(id);
    runtime().clearTimeout(handle);
  }
}
