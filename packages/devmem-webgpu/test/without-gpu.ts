import { isNetmemError } from "@netmem/core";

/** Runs `work` and prints what it returned as JSON; the reason instead where there is no GPU. */
export async function printOutcome(work: () => Promise<object>): Promise<void> {
  try {
    console.log(JSON.stringify(await work()));
  } catch (error) {
    if (!isNetmemError(error) || error.code !== "ERR_NETMEM_NO_GPU") throw error;
    console.log(JSON.stringify({ reason: error.value }));
  }
}
