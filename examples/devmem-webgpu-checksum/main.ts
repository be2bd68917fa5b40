import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { formatFlow, largestStream, readFrames } from "@netmem-examples/header-split-nvme";
import { isNetmemError } from "@netmem/core";
import { createHostMemory } from "@netmem/devmem";
import { adler32, adler32Kernel, openWebGpuMemory } from "@netmem/devmem-webgpu";
import { softwareDriverEnv } from "@netmem/devmem-webgpu/software-driver";
import { checksumStream, type ChecksumReport } from "./checksum.ts";

const PCAP = fileURLToPath(new URL("../mixed-nic/capture/mixed.pcap", import.meta.url));
const MEMORY_BYTES = 8 * 2 ** 20;
const { values, positionals } = parseArgs({ allowPositionals: true, options: { software: { type: "boolean" } } });
const frames = readFrames(positionals[0] ?? PCAP);
const stream = largestStream(frames) ?? failNoStream();

function failNoStream(): never {
  throw new Error("the capture has no TCP stream over IPv4");
}

async function onGpu(): Promise<ChecksumReport> {
  const memory = await openWebGpuMemory({ sizeBytes: MEMORY_BYTES });
  console.log(`GPU: ${memory.info?.vendor} ${memory.info?.architecture} (${memory.info?.description})`);
  const report = await checksumStream(frames, stream, memory, (frags) => memory.run(adler32Kernel, frags));
  const { submits, copies, copiedBytes } = memory.stats();
  console.log(`uploaded: ${copiedBytes} bytes by ${copies} copies in ${submits} submissions`);
  console.log(`payload that this process read back: ${memory.readbackBytes} bytes`);
  await memory.close();
  return report;
}

/** The same without a GPU: the memory is this process's own, and the CPU reads it. */
async function onCpu(): Promise<ChecksumReport> {
  const memory = createHostMemory({ sizeBytes: MEMORY_BYTES });
  const report = await checksumStream(frames, stream, memory, async (frags) => {
    const sums: number[] = [];
    for (const frag of frags) sums.push(adler32(await memory.readback([frag])));
    return sums;
  });
  console.log(`payload that this process read back: ${memory.readbackBytes} bytes`);
  await memory.close();
  return report;
}

async function run(): Promise<ChecksumReport> {
  try {
    return await onGpu();
  } catch (error) {
    if (!isNetmemError(error) || error.code !== "ERR_NETMEM_NO_GPU") throw error;
    console.log(`no GPU, so the CPU does it: ${String(error.value)}`);
    return onCpu();
  }
}

/** Runs this again with the software driver in its environment, which counts only from the start. */
function runWithSoftware(): number {
  const env = softwareDriverEnv();
  if (env === null) throw new Error("there is no software driver: install Debian's package chromium");
  const args = [fileURLToPath(import.meta.url), ...positionals];
  return spawnSync(process.execPath, args, { env: { ...process.env, ...env }, stdio: "inherit" }).status ?? 1;
}

async function main(): Promise<number> {
  console.log(`stream: ${formatFlow(stream.flow)}, ${stream.bytes.length} bytes`);
  const { tokens, bytes, wrong, dropped, falselyRight } = await run();
  console.log(`checksummed: ${tokens} tokens, ${bytes} bytes, ${wrong} wrong, ${dropped} packets dropped`);
  return wrong + dropped + falselyRight === 0 && bytes >= stream.bytes.length ? 0 : 1;
}

process.exitCode = values.software === true ? runWithSoftware() : await main();
