/// <reference lib="esnext.disposable" preserve="true" />
export { AfXdp, openAfXdp } from "./af-xdp.ts";
export type { AfXdpParams } from "./af-xdp.ts";
export { AfXdpDriver } from "./af-xdp-driver.ts";
export { AfXdpPort } from "./af-xdp-port.ts";
export type { AfXdpPortParams } from "./af-xdp-port.ts";
export { AfXdpQueue } from "./af-xdp-queue.ts";
export type { PortProgram } from "./port-program.ts";
export type { PortReport, QueueReport } from "./port-report.ts";
export { RxLoop } from "./rx-loop.ts";
export type { XdpStatistics } from "./statistics.ts";
export type { CopyMode, RingSizes, XskSocket } from "./xsk-socket.ts";
