import type { MemoryProviderOps } from "./memory-provider.ts";

/** What somebody who binds memory to receive queues needs of their device; a `NetDevice` is one. */
export interface RxqProviderDevice {
  readonly ifindex: number;
  readonly queues: { readonly length: number };
  /** Restarts the queue with buffers of the provider. Throws a coded error when it cannot, and nothing has changed then. */
  openRxqProvider(queueIdx: number, provider: MemoryProviderOps): void;
  /** Restarts the queue with ordinary pages. */
  closeRxqProvider(queueIdx: number, provider: MemoryProviderOps): void;
}
