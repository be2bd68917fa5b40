/* data path */
import type { Napi } from "@netmem/netdev";

/**
 * The interrupt of one queue pair, with the handler that every NAPI driver has: mask, schedule. What would interrupt
 * while masked is remembered.
 */
export class Interrupt {
  private napi: Napi | null = null;
  private isMasked = true;
  private isPending = false;

  /** Whose poll it schedules, null for nobody. Leaves it masked. */
  attach(napi: Napi | null): void {
    this.napi = napi;
    this.isMasked = true;
    this.isPending = false;
  }

  /** Hardware: something happened. */
  raise(): void {
    this.isPending = true;
    if (!this.isMasked) this.fire();
  }

  /** Driver: may interrupt again; does so at once if something happened meanwhile. */
  unmask(): void {
    this.isMasked = false;
    if (this.isPending) this.fire();
  }

  /** Whether something happened since the last call, for hardware whose driver is on another thread. */
  takePending(): boolean {
    const { isPending } = this;
    this.isPending = false;
    return isPending;
  }

  private fire(): void {
    this.isPending = false;
    this.isMasked = true;
    this.napi?.schedule();
  }
}
