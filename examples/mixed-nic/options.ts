import { parseArgs } from "node:util";
import { DMA_KINDS, type DmaKind } from "./mixed-nic.ts";

/** What the command line says. */
export interface Options {
  readonly pcap: string;
  readonly loops: number;
  readonly dma: DmaKind;
  readonly isJson: boolean;
  readonly isHelp: boolean;
}

const MAX_LOOPS = 1_000_000;
const DEFAULT_LOOPS = 100;
const DEFAULT_DMA = "iommu";

export const HELP: string = `Usage: mixed-nic [options]

One NIC with a receive queue for each way of getting memory. Replays a capture through it, spreads it by RSS,
verifies every byte of every packet, and prints what each queue did.

  --pcap FILE   pcap or pcapng file, Ethernet (default: the one in the repository)
  --loop N      replay it N times, 1 to ${MAX_LOOPS} (default ${DEFAULT_LOOPS})
  --dma KIND    between pages and the NIC: ${DMA_KINDS.join(", ")} (default ${DEFAULT_DMA})
  --json        print one JSON document and nothing else on standard output
  --help        print this

Exit codes: 0 everything verified and home, 1 something was lost or wrong, 2 bad arguments or bad input.
`;

/** A mistake on the command line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Throws {@link UsageError} with one line that says what is wrong. */
export function parseOptions(args: readonly string[], defaultPcap: string): Options {
  const values = parse(args);
  return {
    pcap: values.pcap ?? defaultPcap,
    loops: parseLoops(values.loop),
    dma: parseDma(values.dma),
    isJson: values.json ?? false,
    isHelp: values.help ?? false,
  };
}

function parse(args: readonly string[]): {
  pcap?: string;
  loop?: string;
  dma?: string;
  json?: boolean;
  help?: boolean;
} {
  try {
    const options = {
      pcap: { type: "string" },
      loop: { type: "string" },
      dma: { type: "string" },
      json: { type: "boolean" },
      help: { type: "boolean", short: "h" },
    } as const;
    return parseArgs({ args: [...args], options, allowPositionals: false }).values;
  } catch (error) {
    const [line = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
    throw new UsageError(line);
  }
}

function parseLoops(text: string | undefined): number {
  if (text === undefined) return DEFAULT_LOOPS;
  const loops = /^[0-9]+$/.test(text) ? Number(text) : 0;
  if (loops < 1 || loops > MAX_LOOPS) {
    throw new UsageError(`--loop is '${text}', expected an integer from 1 to ${MAX_LOOPS}`);
  }
  return loops;
}

function parseDma(text: string | undefined): DmaKind {
  if (text === undefined) return DEFAULT_DMA;
  const kind = DMA_KINDS.find((one) => one === text);
  if (kind === undefined) throw new UsageError(`--dma is '${text}', expected one of ${DMA_KINDS.join(", ")}`);
  return kind;
}
