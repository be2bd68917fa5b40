import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { deviceMemorySuite } from "@netmem/devmem/conformance";
import { runSuite } from "@netmem/testing";
import { describe, test } from "vitest";
import type { FileDurability } from "../src/index.ts";
import { errnoError, type FaultyFile, newPath, openFaulty, openNew } from "./open-file.ts";

describe.for<FileDurability>(["none", "landing", "close"])("a file, durability %s", (durability) => {
  runSuite(deviceMemorySuite, () => ({ open: () => openNew({ durability }) }), test);
});

describe("a file past the page cache", () => {
  runSuite(
    deviceMemorySuite,
    () => ({ open: () => openNew({ direct: true }) }),
    (name, run) =>
      test(name, async ({ skip }) => {
        const reason = await whyNotDirect();
        if (reason !== null) skip(reason);
        await run();
      }),
  );
});

describe("a file that fails", () => {
  const files = new Map<unknown, FaultyFile>();
  const subject = {
    open: () => {
      const { file, memory } = openFaulty();
      files.set(memory, file);
      return memory;
    },
    lose: (memory: unknown) => {
      files.get(memory)!.nextWrite = () => errnoError("EIO");
    },
  };
  runSuite(deviceMemorySuite, () => subject, test);
});

/** Not every file system has O_DIRECT. */
async function whyNotDirect(): Promise<string | null> {
  try {
    await (await open(newPath(), constants.O_CREAT | constants.O_WRONLY | constants.O_DIRECT)).close();
    return null;
  } catch (error) {
    return `the temporary directory's file system has no O_DIRECT: ${String(error)}`;
  }
}
