import type { Stand } from "./stand.ts";

const INTERVAL_MS = 1000;

/** Prints a line a second: what came, what went, and what it cost. */
export class Meter {
  private readonly stand: Stand;
  private readonly print: (line: string) => void;
  private lastMs = performance.now();
  private lastRx = 0;
  private lastTx = 0;
  private lastCpu = process.cpuUsage();

  constructor(stand: Stand, print: (line: string) => void) {
    this.stand = stand;
    this.print = print;
  }

  /** To be called often; prints when a second is over. */
  tick(): void {
    const nowMs = performance.now();
    const elapsedMs = nowMs - this.lastMs;
    if (elapsedMs < INTERVAL_MS) return;
    const { rx, tx } = this.totals();
    const cpu = process.cpuUsage(this.lastCpu);
    const packets = rx - this.lastRx;
    const cpuNs = packets === 0 ? 0 : Math.round(((cpu.user + cpu.system) * 1000) / packets);
    const rate = (count: number): string => `${Math.round((count * 1000) / elapsedMs)}/s`;
    this.print(`received ${rate(packets)}, sent ${rate(tx - this.lastTx)}, ${cpuNs} ns of CPU per packet`);
    Object.assign(this, { lastMs: nowMs, lastRx: rx, lastTx: tx, lastCpu: process.cpuUsage() });
  }

  private totals(): { rx: number; tx: number } {
    const stats = this.stand.device.getStats();
    const rx = stats.reduce((sum, { rxPackets }) => sum + rxPackets, 0);
    return { rx, tx: stats.reduce((sum, { txPackets }) => sum + txPackets, 0) };
  }
}
