/** What is wrong with a report of `pnpm start --json --loop LOOPS`; nothing when it is good. */
export function startProblems(json: string, loops: number): string[] {
  let report: unknown;
  try {
    report = JSON.parse(json);
  } catch {
    return [`no JSON: ${JSON.stringify(json.slice(0, 80))}`];
  }
  return [...zeroProblems(report, "crcErrors"), ...zeroProblems(report, "inFlight"), ...packetProblems(report, loops)];
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
}

function packetProblems(report: unknown, loops: number): string[] {
  const { verified, capture } = report as Packets;
  const wanted = Number(capture?.packets) * loops;
  if (!(wanted > 0)) return [`capture.packets is ${String(capture?.packets)}, must be a number above 0`];
  if (verified?.packets === wanted) return [];
  return [`verified.packets is ${String(verified?.packets)}, must be capture.packets * loops = ${wanted}`];
}
