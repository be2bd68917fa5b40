import { expect, test } from "vitest";
import { type MemoryProviderOps, ProviderRegistry } from "../src/index.ts";
import { createCoreHost, errorOf } from "./core-host.ts";

function provider(name: string): MemoryProviderOps {
  return {
    name,
    opsVersion: 1,
    init: () => {},
    destroy: () => {},
    allocNetmems: () => 0,
    releaseNetmem: () => true,
    owns: () => false,
  };
}

test("registered once, known by a small integer", () => {
  const { providers } = createCoreHost().host;
  const [a, b] = [provider("a"), provider("b")];
  expect([providers.register(a), providers.register(b), providers.register(a)]).toEqual([0, 1, 0]);
  expect([providers.get(0), providers.get(1), providers.get(2)]).toEqual([a, b, undefined]);
  expect([providers.has(a), providers.has(provider("a"))]).toEqual([true, false]);
});

test.each(["init", "destroy", "allocNetmems", "releaseNetmem", "owns"])(
  "a provider without %s is refused, by name",
  (hook) => {
    const providers = new ProviderRegistry();
    const incomplete = { ...provider("half"), [hook]: undefined } as unknown as MemoryProviderOps;
    const error = errorOf(() => providers.register(incomplete));
    expect(error).toMatchObject({ code: "ERR_NETMEM_PROVIDER_INCOMPLETE", errno: "EFAULT", value: "half" });
    expect(String(error["message"])).toContain(`lacks ${hook}`);
    expect(providers.has(incomplete)).toBe(false);
  },
);

test("another version of the contract is refused", () => {
  const providers = new ProviderRegistry();
  const future = { ...provider("future"), opsVersion: 2 } as unknown as MemoryProviderOps;
  expect(String(errorOf(() => providers.register(future))["message"])).toContain("opsVersion 1");
});
