import { describe, expect, test } from "vitest";
import { providerSuite, type ProviderSubject } from "../src/conformance/index.ts";
import { FakeDmaDevice } from "./fake-dma-device.ts";
import { makeBench } from "./fixture.ts";
import { breaches, misbehaving, type Mistake } from "./misbehaving-providers.ts";
import { PlainProvider } from "./plain-provider.ts";

function subjectOf(mistake: Mistake | undefined): ProviderSubject {
  const dma = new FakeDmaDevice({ needsSync: false });
  const { host, clock } = makeBench({ arenaBytes: 4 * 2 ** 20, dma });
  const provider = mistake?.make(host);
  if (provider === undefined) throw new Error("nobody misbehaves");
  return {
    host,
    provider,
    capacity: null,
    mapsBuffers: provider instanceof PlainProvider,
    refused: [{ params: { order: 1 }, code: provider instanceof PlainProvider ? "ERR_PLAIN_ORDER" : "ERR_FAKE_ORDER" }],
    passTime: (ms) => clock.advance(ms),
    holdings: () => (provider instanceof PlainProvider ? { mappings: dma.live.size } : { free: provider.free.length }),
  };
}

describe("every case of the provider suite notices the mistake that it is there for", () => {
  test.for(providerSuite.cases)("$name", (suiteCase) => {
    expect(() => suiteCase.run(subjectOf(misbehaving[suiteCase.name]))).toThrow(misbehaving[suiteCase.name]?.says);
  });

  test.for(breaches)("some case says $says", (breach) => {
    const said = providerSuite.cases.map((suiteCase) => {
      try {
        return void suiteCase.run(subjectOf(breach));
      } catch (error) {
        return String(error);
      }
    });
    expect(said.filter((one) => one !== undefined && breach.says.test(one)).length).toBeGreaterThan(0);
  });

  test("each mistake passes the cases that are not about it", () => {
    const counts = providerSuite.cases.map(({ name }) => {
      const unnoticed = providerSuite.cases.filter((other) => {
        try {
          void other.run(subjectOf(misbehaving[name]));
          return true;
        } catch {
          return false;
        }
      });
      return [name, unnoticed.length] as const;
    });
    for (const [name, unnoticed] of counts) expect([name, unnoticed > 8]).toEqual([name, true]);
  });
});
