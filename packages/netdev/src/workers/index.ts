export { WorkerGroup } from "./worker-group.ts";
export type { WorkerGroupParams } from "./worker-group.ts";
export type { LinkParams } from "./link.ts";
export type { WorkerParams } from "./member.ts";
export type { WorkerDeath } from "./reclaim.ts";
