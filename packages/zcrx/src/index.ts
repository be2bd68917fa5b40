export { CQE_MORE, ENTRY_FLAGS, ENTRY_LEN, ENTRY_OFFSET, ENTRY_OFFSET_HIGH, ENTRY_WORDS } from "./entries.ts";
export type { RefillStats } from "./refill.ts";
export { ZcrxRegistry } from "./register-zcrx.ts";
export type { ZcrxParams } from "./register-zcrx.ts";
export { ZcrxResult } from "./zcrx.ts";
export type { Zcrx, ZcrxStats } from "./zcrx.ts";
export type { ZcrxProvider } from "./zcrx-provider.ts";
export { ZcrxUser } from "./zcrx-user.ts";
export type { ZcrxRings } from "./zcrx-user.ts";
