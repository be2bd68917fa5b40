/** What is wrong with a report of `pnpm start --json`; nothing when it is good. */
export function startProblems(json: string): string[] {
  let report: unknown;
  try {
    report = JSON.parse(json);
  } catch {
    return [`no JSON: ${JSON.stringify(json.slice(0, 80))}`];
  }
  return [...zeroProblems(report, "crcErrors"), ...zeroProblems(report, "inFlight"), ...packetProblems(report)];
}

/** Every number of that name, wherever it stands in the report. */
function valuesOf(value: unknown, name: string): unknown[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => (key === name ? [inner] : valuesOf(inner, name)));
}

function zeroProblems(report: unknown, name: string): string[] {
  const values = valuesOf(report, name);
  if (values.length === 0) return [`no ${name} in the report`];
  return values.every((value) => value === 0) ? [] : [`${name} is ${values.map(String).join(", ")}, must be 0`];
}

interface Packets {
  readonly verified?: { readonly packets?: unknown };
  readonly capture?: { readonly packets?: unknown };
  readonly loops?: unknown;
}

function packetProblems(report: unknown): string[] {
  const { verified, capture, loops } = report as Packets;
  const wanted = Number(capture?.packets) * Number(loops);
  if (!(wanted > 0))
    return [`capture.packets is ${String(capture?.packets)}, loops is ${String(loops)}: must be numbers above 0`];
  if (verified?.packets === wanted) return [];
  return [`verified.packets is ${String(verified?.packets)}, must be capture.packets * loops = ${wanted}`];
}
