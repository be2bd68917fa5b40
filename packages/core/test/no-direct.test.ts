import { expect, test } from "vitest";
import { Context, MemType, returnNetmemRxNapi, withNoDirect } from "../src/index.ts";
import { createCoreHost, errorOf, FakeOwner, takePage } from "./core-host.ts";

test("#218 within the scope a promise of the owner's poll is not believed; afterwards it is again", () => {
  const core = createCoreHost();
  const { host } = core;
  const owner = new FakeOwner(host, MemType.PagePool, 0);
  const give = (): void => returnNetmemRxNapi(host, owner.handOut(takePage(core)));
  give();
  const result = withNoDirect(host.context, () => {
    give();
    return 7;
  });
  give();
  expect(owner.slowCalls.map((call) => call.allowDirect)).toEqual([true, false, true]);
  expect(result).toBe(7);
});

test("the scope ends when its work throws, and scopes nest", () => {
  const context = new Context();
  const failure = new Error("in the middle");
  expect(
    errorOf(() =>
      withNoDirect(context, () => {
        throw failure;
      }),
    ),
  ).toBe(failure);
  expect(context.noDirect).toBe(false);
  withNoDirect(context, () => {
    withNoDirect(context, () => {});
    expect(context.noDirect).toBe(true);
  });
  expect(context.noDirect).toBe(false);
});
