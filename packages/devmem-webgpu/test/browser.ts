import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PageServer } from "./page-server.ts";

const CHROMIUM = "/usr/bin/chromium";
const TIMEOUT_MS = 100_000;

/** Why no page can be run; null where it can. */
export const noBrowser: string | null = existsSync(CHROMIUM) ? null : `there is no ${CHROMIUM}`;

/**
 * Opens a page in a headless browser and runs `script` in it, a module that may import the workspace's packages; resolves
 * with what it posted to "/". The browser and its profile are gone then.
 */
export async function runPage(script: string): Promise<string> {
  const profile = mkdtempSync(join(tmpdir(), "netmem-chromium-"));
  const posted = Promise.withResolvers<string>();
  const server = new PageServer(script, posted.resolve);
  const address = await server.listen();
  const flags = [
    "--headless",
    "--enable-unsafe-webgpu",
    "--no-sandbox",
    "--no-first-run",
    `--user-data-dir=${profile}`,
  ];
  const browser = spawn(CHROMIUM, [...flags, address], { stdio: ["ignore", "ignore", "pipe"], detached: true });
  let log = "";
  browser.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  const gone = new Promise<void>((resolve) => browser.once("close", () => resolve()));
  const fail = (what: string): void => posted.reject(new Error(`${what}\n${log}`));
  const timer = setTimeout(() => fail("the page posted nothing"), TIMEOUT_MS);
  void gone.then(() => fail("the browser ended"));
  try {
    return await posted.promise;
  } finally {
    clearTimeout(timer);
    // The browser and the processes that it made: a group of their own.
    if (browser.pid !== undefined) process.kill(-browser.pid, "SIGKILL");
    await gone;
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}
