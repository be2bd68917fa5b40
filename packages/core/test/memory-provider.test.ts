import { VirtualClock } from "@netmem/testing";
import { expect, test } from "vitest";
import { attachHost, type MemoryProviderOps, ProviderRegistry } from "../src/index.ts";
import { createCoreHost, errorOf } from "./core-host.ts";
import { fakeProvider as provider } from "./fake-provider.ts";

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

test("a provider needs a name", () => {
  const { providers } = createCoreHost().host;
  const error = errorOf(() => providers.register(provider("")));
  expect(error).toMatchObject({ code: "ERR_NETMEM_PROVIDER_INCOMPLETE" });
  expect(String(error["message"])).toContain("lacks a name");
});

test("another version of the contract is refused", () => {
  const providers = new ProviderRegistry();
  const future = { ...provider("future"), opsVersion: 2 } as unknown as MemoryProviderOps;
  expect(String(errorOf(() => providers.register(future))["message"])).toContain("opsVersion 1");
});

test("two providers of one name are told apart; every thread gives them the same ids", () => {
  const { host } = createCoreHost();
  const [a, b] = [provider("huge"), provider("huge")];
  expect([host.providers.register(a), host.providers.register(b)]).toEqual([0, 1]);
  expect([host.providers.nameOf(0), host.providers.nameOf(1), host.providers.nameOf(2)]).toEqual([
    "huge",
    "huge#2",
    "provider 2",
  ]);
  const other = attachHost(host.share(), { clock: new VirtualClock() });
  expect(other.providers.register(provider("mine"))).toBe(2);
  expect(other.providers.get(0)).toBe(undefined);
  const theirs = provider("huge");
  expect([other.providers.register(theirs), other.providers.idOf(theirs)]).toEqual([0, 0]);
  expect(other.providers.register(provider("huge"))).toBe(1);
});

test("128 providers and no more", () => {
  const { providers } = createCoreHost().host;
  for (let n = 0; n < 128; n++) expect(providers.register(provider(`number ${n}`))).toBe(n);
  expect(errorOf(() => providers.register(provider("one more")))).toMatchObject({
    code: "ERR_NETMEM_PROVIDERS_EXHAUSTED",
    errno: "ENOSPC",
    value: "one more",
  });
});
