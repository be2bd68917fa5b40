export { startGenerator } from "./generator.ts";
export { type AfXdpOptions, parseOptions, UsageError } from "./options.ts";
export { main } from "./main.ts";
export { Meter } from "./meter.ts";
export { run } from "./run.ts";
export { openStand, OUR_ADDRESS, PEER_ADDRESS, type Stand } from "./stand.ts";
