import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { newPath } from "./open-file.ts";

const CHILD = fileURLToPath(new URL("full-disk-child.ts", import.meta.url));

interface Outcome {
  readonly landed: number;
  readonly last: number;
  readonly wrong: number;
  readonly codes: Readonly<Record<string, number>>;
}

function run(command: string, args: readonly string[], rest: readonly string[]): Outcome {
  const all = [...args, "sh", process.execPath, CHILD, ...rest];
  const { status, stdout, stderr } = spawnSync(command, all, { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout) as Outcome;
}

const notLinux = process.platform === "linux" ? null : "needs ulimit -f in blocks of 512 bytes, and mount namespaces";

test("a real limit of the process: the write that meets it is short, the next fails; what fitted is there", ({
  skip,
}) => {
  if (notLinux !== null) skip(notLinux);
  // The limit is at 1 MiB, for truncate too: the file gets its size before.
  const { landed, last, wrong, codes } = run(
    "sh",
    ["-c", 'truncate -s 2M "$3" && ulimit -f 2048 && exec "$1" "$2" "$3"'],
    [newPath()],
  );
  expect({ landed, last, wrong, codes }).toEqual({
    landed: 257,
    last: 0,
    wrong: 0,
    codes: { "ERR_NETMEM_FILE_FULL EFBIG": 256 },
  });
});

test("a real file system without room: ENOSPC, and the memory goes on", ({ skip }) => {
  if (notLinux !== null) skip(notLinux);
  if (spawnSync("unshare", ["-m", "true"]).status !== 0) skip("may not make a mount namespace");
  const dir = mkdtempSync(join(tmpdir(), "netmem-full-disk-"));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const script = 'mount -t tmpfs -o size=1m none "$4" && exec "$1" "$2" "$3"';
  const { landed, last, wrong, codes } = run("unshare", ["-m", "sh", "-c", script], [join(dir, "payload"), dir]);
  expect([last, wrong, Object.keys(codes)]).toEqual([0, 0, ["ERR_NETMEM_FILE_FULL ENOSPC"]]);
  expect(landed).toBeGreaterThan(128);
  expect(landed).toBeLessThanOrEqual(257);
});
