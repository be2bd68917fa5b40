import { Writable } from "node:stream";
import type { WriteStream } from "node:tty";
import { expect, test } from "vitest";
import { startProgress } from "../progress.ts";

function makeTerminal(isTTY: boolean, columns: number): { stream: WriteStream; written: string[] } {
  const written: string[] = [];
  const sink = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      written.push(chunk.toString());
      done();
    },
  });
  return { stream: Object.assign(sink, { isTTY, columns }) as unknown as WriteStream, written };
}

test("writes one line, cut to the width, and removes it", () => {
  const { stream, written } = makeTerminal(true, 10);
  const progress = startProgress(stream, {});
  progress.update("0123456789abcdef");
  expect(written.join("")).toMatch(/012345678$/);
  progress.stop();
  expect(written.at(-1)).not.toContain("0");
  const count = written.length;
  progress.stop();
  expect(written.length).toBe(count);
});

test("a terminal without a size has 80 columns", () => {
  const { stream, written } = makeTerminal(true, 0);
  startProgress(stream, {}).update("x".repeat(200));
  expect(written.at(-1)).toBe("x".repeat(79));
});

test("writes nothing where nobody watches", () => {
  for (const [isTTY, env] of [
    [false, {}],
    [true, { CI: "true" }],
    [true, { TERM: "dumb" }],
  ] as const) {
    const { stream, written } = makeTerminal(isTTY, 80);
    const progress = startProgress(stream, env);
    progress.update("text");
    progress.stop();
    expect(written).toEqual([]);
  }
});
