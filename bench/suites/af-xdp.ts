import { AF_XDP_LIBXDP } from "../native.ts";
import type {
  DerivedRow,
  Metric,
  NativeRow,
  Ratio,
  Row,
  SampleOptions,
  ScriptRow,
  Suite,
  TimedSample,
} from "../suite.ts";
import { BareSide } from "./af-xdp/bare-rings.ts";
import { measureC } from "./af-xdp/c-side.ts";
import { type Cable, layCable } from "./af-xdp/cable.ts";
import { DeviceSide, RingsSide, type Wait, type Work } from "./af-xdp/our-sides.ts";
import { ringWorkRows } from "./af-xdp/ring-work.ts";
import { type Side, takeWindows } from "./af-xdp/windows.ts";

const UNIT = "ns/packet";
/** A window: long enough for the scheduler's ticks by which the kernel splits CPU time. */
const WINDOW_MS = 400;

type Measured = (cable: Cable, options: SampleOptions) => TimedSample[] | Promise<TimedSample[]>;

/** A row that lays a cable, measures at its near end, and takes it up again. */
function cableRow(name: string, isSending: boolean, measured: Measured): ScriptRow {
  const measure = async (options: SampleOptions): Promise<readonly TimedSample[]> => {
    const cable = layCable(isSending);
    try {
      return await measured(cable, { samples: options.samples, minMs: WINDOW_MS });
    } finally {
      await cable.close();
    }
  };
  return { kind: "script", name, unit: UNIT, measure };
}

function ourRow(name: string, work: Work, makeSide: (cable: Cable) => Side): ScriptRow {
  return cableRow(name, work !== "tx", (cable, options) => {
    const side = makeSide(cable);
    try {
      return takeWindows(side, options);
    } finally {
      side.close();
    }
  });
}

const cRow = (name: string, work: Work, mode: string): ScriptRow =>
  cableRow(name, work !== "tx", (cable, options) => measureC(cable, mode, options));

/** A row's time on a CPU, and the part of it outside the kernel. */
function withMetrics(row: ScriptRow): readonly Row[] {
  const derived = (suffix: string, metric: Metric): DerivedRow => ({
    kind: "derived",
    name: `${row.name}_${suffix}`,
    unit: `${suffix} ns/packet`,
    from: row.name,
    metric,
  });
  return [row, derived("cpu", "cpuNs"), derived("user", "userNs")];
}

interface Job {
  readonly name: string;
  readonly work: Work;
  readonly wait: Wait;
  readonly mode: string;
}

const JOBS: readonly Job[] = [
  { name: "tx_only", work: "tx", wait: "spin", mode: "tx" },
  { name: "rx_drop_spin", work: "rx", wait: "spin", mode: "rxspin" },
  { name: "rx_drop_poll", work: "rx", wait: "poll", mode: "rxpoll" },
  { name: "l2fwd_spin", work: "l2fwd", wait: "spin", mode: "l2fwdspin" },
  { name: "l2fwd_poll", work: "l2fwd", wait: "poll", mode: "l2fwdpoll" },
];

function rowsOf({ name, work, wait, mode }: Job): readonly Row[] {
  const rows = [cRow(`c_${name}`, work, mode)];
  if (work !== "tx") rows.push(ourRow(name, work, (cable) => new BareSide(cable, work, wait)));
  const checkedName = work === "tx" ? name : `checked_${name}`;
  rows.push(ourRow(checkedName, work, (cable) => new RingsSide(cable, work, wait)));
  if (work !== "tx") rows.push(ourRow(`device_${name}`, work, (cable) => new DeviceSide(cable, work, wait)));
  return rows.flatMap(withMetrics);
}

const ringWorkC: NativeRow = {
  kind: "native",
  name: "c_ring_work_batch64",
  unit: UNIT,
  program: AF_XDP_LIBXDP,
  mode: "ringwork",
};

/** Rates: packets of ours for one of C. */
function rate(name: string, bar?: Ratio["bar"]): Ratio {
  return { name: `${name}_vs_c`, of: [`c_${name}`, name], ...(bar && { bar }) };
}

/** Real AF_XDP sockets next to C and libxdp, over a virtual cable in namespaces of its own. */
export const afXdpSuite: Suite = {
  name: "af-xdp",
  rows: [ringWorkC, ...ringWorkRows, ...JOBS.flatMap(rowsOf)],
  ratios: [
    { name: "ring_work_vs_c", of: ["ring_work_batch64", "c_ring_work_batch64"], bar: "<=3.5" },
    { name: "ring_work_checked_vs_c", of: ["ring_work_checked_batch64", "c_ring_work_batch64"] },
    rate("tx_only", ">=0.93"),
    rate("rx_drop_spin", ">=0.93"),
    rate("rx_drop_poll"),
    { name: "rx_drop_poll_cpu_vs_c", of: ["c_rx_drop_poll_cpu", "rx_drop_poll_cpu"], bar: ">=0.9", at: "low" },
    rate("l2fwd_spin", ">=0.93"),
    rate("l2fwd_poll", ">=0.93"),
    { name: "checked_rx_drop_spin_vs_c", of: ["c_rx_drop_spin", "checked_rx_drop_spin"] },
    { name: "checked_rx_drop_poll_cpu_vs_c", of: ["c_rx_drop_poll_cpu", "checked_rx_drop_poll_cpu"] },
    { name: "checked_l2fwd_spin_vs_c", of: ["c_l2fwd_spin", "checked_l2fwd_spin"] },
    { name: "device_rx_drop_spin_vs_c", of: ["c_rx_drop_spin", "device_rx_drop_spin"] },
    { name: "device_rx_drop_poll_cpu_vs_c", of: ["c_rx_drop_poll_cpu", "device_rx_drop_poll_cpu"] },
    { name: "device_l2fwd_spin_vs_c", of: ["c_l2fwd_spin", "device_l2fwd_spin"] },
  ],
};
