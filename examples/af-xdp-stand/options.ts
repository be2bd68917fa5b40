import { parseArgs } from "node:util";
import type { CopyMode } from "@netmem/af-xdp";
import type { XdpMode } from "@netmem/linux";

/** What the command line of an AF_XDP example says. */
export interface AfXdpOptions {
  /** Null: a cable of our own. */
  readonly ifname: string | null;
  /** A second interface, for examples that forward; null without one. */
  readonly toIfname: string | null;
  readonly queues: number;
  readonly mode: CopyMode;
  readonly attach: XdpMode | "auto";
  readonly wait: "spin" | "poll" | "events";
  /** Infinity: until a signal. */
  readonly seconds: number;
  /** Infinity: no limit. */
  readonly packets: number;
  /** File that an example writes. */
  readonly write: string;
  readonly allowDefaultRoute: boolean;
}

const MODES: readonly CopyMode[] = ["auto", "copy", "zerocopy", "require-zerocopy"];
const ATTACH: readonly (XdpMode | "auto")[] = ["auto", "native", "skb"];
const WAITS = ["spin", "poll", "events"] as const;
const VETH_SECONDS = 3;

export const HELP: string = `Options of the AF_XDP examples:

  --interface NAME     take this interface; its packets no longer reach the kernel
  --setup-veth         make two network namespaces with a cable between them, and take one end (the default)
  --to NAME            forward to this interface instead of back (af-xdp-l2fwd)
  --write FILE         write packets to this file (af-xdp-capture; default capture.pcapng)
  --queues N           RX queues of the cable's ends (default 1)
  --mode MODE          ${MODES.join(", ")} (default auto)
  --attach MODE        where the XDP program runs: ${ATTACH.join(", ")} (default auto)
  --wait KIND          ${WAITS.join(", ")} (default poll)
  --seconds N          stop after N seconds (default: ${VETH_SECONDS} on a cable, else on a signal)
  --packets N          stop soon after N packets
  --allow-default-route   take the interface even if the machine is reached through it
  --help               print this

Needs root, or CAP_NET_RAW, CAP_BPF, CAP_NET_ADMIN and, for the cable, CAP_SYS_ADMIN.
Exit codes: 0 done, 1 something was lost, wrong or refused, 2 bad arguments.
`;

/** A mistake on the command line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

function oneOf<T extends string>(
  option: string,
  value: string | undefined,
  allowed: readonly [T, ...T[]] | readonly T[],
  otherwise: T,
): T {
  if (value === undefined) return otherwise;
  const found = allowed.find((one) => one === value);
  if (found === undefined) throw new UsageError(`--${option} ${value}: one of ${allowed.join(", ")} is expected`);
  return found;
}

function count(option: string, value: string | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1)
    throw new UsageError(`--${option} ${value}: a whole number from 1 on is expected`);
  return number;
}

const OPTIONS = {
  interface: { type: "string" },
  "setup-veth": { type: "boolean" },
  to: { type: "string" },
  write: { type: "string" },
  queues: { type: "string" },
  mode: { type: "string" },
  attach: { type: "string" },
  wait: { type: "string" },
  seconds: { type: "string" },
  packets: { type: "string" },
  "allow-default-route": { type: "boolean" },
  help: { type: "boolean" },
} as const;

function parse(args: readonly string[]): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>["values"] {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** Null for `--help`. @throws {@link UsageError} with one line that says what is wrong */
export function parseOptions(args: readonly string[]): AfXdpOptions | null {
  const values = parse(args);
  if (values.help === true) return null;
  const ifname = values.interface ?? null;
  if (ifname !== null && values["setup-veth"] === true)
    throw new UsageError("--interface and --setup-veth exclude each other");
  if (values.to !== undefined && ifname === null) throw new UsageError("--to needs --interface");
  return {
    ifname,
    toIfname: values.to ?? null,
    queues: count("queues", values.queues, 1),
    mode: oneOf("mode", values.mode, MODES, "auto"),
    attach: oneOf("attach", values.attach, ATTACH, "auto"),
    wait: oneOf("wait", values.wait, WAITS, "poll"),
    seconds: count("seconds", values.seconds, ifname === null ? VETH_SECONDS : Infinity),
    packets: count("packets", values.packets, Infinity),
    write: values.write ?? "capture.pcapng",
    allowDefaultRoute: values["allow-default-route"] === true,
  };
}
