/// <reference lib="esnext.disposable" preserve="true" />
export { createTestnet, Testnet } from "./testnet.ts";
export type { TestnetEnd, TestnetEndParams, TestnetParams } from "./testnet.ts";
