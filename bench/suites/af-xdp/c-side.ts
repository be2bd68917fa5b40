import { execFileSync } from "node:child_process";
import { attachXdp, BpfMapType, compileXdpFilter, createBpfMap, loadXdpProgram } from "@netmem/linux";
import { AF_XDP_LIBXDP, buildNative } from "../../native.ts";
import { AbsentError, type SampleOptions, type TimedSample } from "../../suite.ts";
import type { Cable } from "./cable.ts";

interface Line extends TimedSample {
  readonly absent?: string;
}

/** Runs the C program at the near end, with our XDP program in front of it. */
export async function measureC(cable: Cable, mode: string, { samples, minMs }: SampleOptions): Promise<TimedSample[]> {
  const built = await buildNative(AF_XDP_LIBXDP);
  if (built.kind === "absent") throw new AbsentError(built.reason);
  const { system, net } = cable;
  const { namespace, link } = net.near;
  const map = createBpfMap(system, { type: BpfMapType.XskMap, maxEntries: 1 });
  const program = loadXdpProgram(system, { insns: compileXdpFilter(map.fd, []) });
  const args = [mode, String(samples), String(minMs), link.name];
  const stdio = ["ignore", "pipe", "inherit", map.fd] as const;
  const output = namespace.run(() => {
    try {
      using _attached = attachXdp(system, { program, ifindex: link.ifindex, mode: "native" });
      return execFileSync(built.path, args, { stdio: [...stdio], encoding: "utf8" });
    } finally {
      program.close();
      map.close();
    }
  });
  const lines = output.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Line]));
  const absent = lines.find((line) => line.absent !== undefined)?.absent;
  if (absent !== undefined) throw new AbsentError(absent);
  return lines;
}
