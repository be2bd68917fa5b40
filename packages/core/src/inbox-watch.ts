import type { Host } from "./host.ts";

interface WaitAsync {
  waitAsync?(
    i32: Int32Array,
    at: number,
    value: number,
  ): { readonly async: false } | { readonly async: true; readonly value: Promise<unknown> };
}

/** Milliseconds between looks at the inbox where the runtime cannot wait without blocking. */
const POLL_MS = 1;
/** A look now and then costs little, and finds what a sleep elsewhere on this thread may have used up the wake-up of. */
const LOOK_MS = 100;

/**
 * Empties the inbox of a thread that sits in its event loop, as soon as something comes. Only while somebody on the thread
 * waits for buffers, because whoever returns one then pays for waking it, some 5 us.
 */
export class InboxWatch {
  private readonly host: Host;
  private count = 0;
  private isAsleep = false;
  private timer = 0;

  constructor(host: Host) {
    this.host = host;
  }

  /** Watches until the returned function is called. */
  start(): () => void {
    let isOn = true;
    this.count++;
    if (this.count === 1) this.arm();
    return () => {
      if (!isOn || this.count === 0) return;
      isOn = false;
      this.count--;
      if (this.count === 0) this.stop();
    };
  }

  /** Ends every watch, because the thread leaves: its inbox will be another's. */
  close(): void {
    this.count = 0;
    this.stop();
  }

  /** Begins to watch when the host is shared after somebody began to wait. */
  arm(): void {
    const { host } = this;
    if (this.count === 0 || host.threaded === 0 || host.returns === null) return;
    host.clock.clearTimer(this.timer);
    this.timer = host.clock.setTimer(() => this.look(), canWait() ? LOOK_MS : POLL_MS);
    if (this.isAsleep || !canWait()) return;
    if (!host.returns.prepareSleep()) {
      // Something is there, but whoever waits is in the middle of something: look when that is done.
      void Promise.resolve().then(() => this.look());
      return;
    }
    const result = (Atomics as WaitAsync).waitAsync?.(host.i32, host.returns.sleepingAt, 1);
    this.isAsleep = true;
    if (result?.async === true) void result.value.then(() => this.wake());
    else void Promise.resolve().then(() => this.wake());
  }

  private wake(): void {
    this.isAsleep = false;
    this.look();
  }

  private look(): void {
    if (this.count === 0) return;
    this.host.drainInbox();
    this.arm();
  }

  private stop(): void {
    const { host } = this;
    host.clock.clearTimer(this.timer);
    if (!this.isAsleep || host.returns === null) return;
    host.returns.cancelSleep();
    // Ends the wait, so that nothing is left behind.
    Atomics.notify(host.i32, host.returns.sleepingAt);
  }
}

function canWait(): boolean {
  return (Atomics as WaitAsync).waitAsync !== undefined;
}
