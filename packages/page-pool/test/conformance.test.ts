import { runSuite } from "@netmem/testing";
import { describe, test } from "vitest";
import { providerSuite, type ProviderSubject } from "../src/conformance/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { FakeNiovProvider } from "./fake-niov-provider.ts";
import { makeBench } from "./fixture.ts";
import { PlainProvider } from "./plain-provider.ts";

function niovSubject(count: number, readable: boolean): ProviderSubject {
  const { host, clock } = makeBench({ arenaBytes: 4 * 2 ** 20 });
  const provider = new FakeNiovProvider({ host, count, readable });
  return {
    host,
    provider,
    capacity: count,
    mapsBuffers: false,
    refused: [{ params: { order: 1 }, code: "ERR_FAKE_ORDER" }],
    passTime: (ms) => clock.advance(ms),
    holdings: () => ({ "net_iovs of the provider": provider.free.length, "binding references": provider.getRefs }),
  };
}

function plainSubject(): ProviderSubject {
  const dma = new FakeDmaDevice({ needsSync: false });
  const { host, clock } = makeBench({ arenaBytes: 4 * 2 ** 20, dma });
  return {
    host,
    provider: new PlainProvider(host),
    capacity: null,
    mapsBuffers: true,
    refused: [{ params: { order: 1 }, code: "ERR_PLAIN_ORDER" }],
    passTime: (ms) => clock.advance(ms),
    holdings: () => ({ mappings: dma.live.size }),
  };
}

describe("net_iovs that no CPU reads", () => runSuite(providerSuite, () => niovSubject(200, false), test));
describe("net_iovs in the arena", () => runSuite(providerSuite, () => niovSubject(200, true), test));
describe("a single net_iov", () => runSuite(providerSuite, () => niovSubject(1, true), test));
describe("plain pages", () => runSuite(providerSuite, plainSubject, test));
