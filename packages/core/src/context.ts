/** What a page pool needs to know of a NAPI instance. */
export interface Napi {
  readonly id: number;
  /** CPU whose poll list the instance is on right now, -1 while idle. */
  listOwner: number;
}

/** Who must know of hard-interrupt context. An object: every pool of a host is one, and a closure each is more to keep. */
export interface HardirqListener {
  /** `Context.hardirq` was assigned. */
  hardirqChanged(): void;
}

/**
 * Where the calling code runs, in the kernel's terms. One per host and thread; the NAPI scheduler sets it around polls,
 * tests set it to play several CPUs on one thread.
 */
export class Context {
  cpu = 0;
  /** The caller may use the page allocator's reserve (kernel: `PF_MEMALLOC`): it frees memory soon, or must not fail. */
  memalloc = false;
  /** Bottom halves: a NAPI poll is running. */
  softirq = false;
  /** PREEMPT_RT rules: no return is promoted to a direct one. */
  preemptRt = false;
  /** The kernel's no-direct flag of the BPF network context: `rxNapi` returns lose their promise. */
  noDirect = false;
  napi: Napi | null = null;
  private inHardirq = false;
  private readonly hardirqListeners = new Set<HardirqListener>();
  private memNid = 0;
  private readonly nidListeners = new Set<() => void>();

  /** Hard-interrupt context, where no buffer may be returned. Rare, so the data path is told instead of asking. */
  get hardirq(): boolean {
    return this.inHardirq;
  }
  set hardirq(value: boolean) {
    this.inHardirq = value;
    for (const listener of this.hardirqListeners) listener.hardirqChanged();
  }

  addHardirqListener(listener: HardirqListener): void {
    this.hardirqListeners.add(listener);
  }

  removeHardirqListener(listener: HardirqListener): void {
    this.hardirqListeners.delete(listener);
  }

  /** Memory node of the running CPU (kernel: `numa_mem_id()`). Changes when the thread moves, so listeners are told. */
  get nid(): number {
    return this.memNid;
  }
  set nid(value: number) {
    this.memNid = value;
    for (const listener of this.nidListeners) listener();
  }

  /** Calls `listener` whenever {@link nid} is assigned, until the returned function is called. */
  onNid(listener: () => void): () => void {
    this.nidListeners.add(listener);
    return () => this.nidListeners.delete(listener);
  }
}
