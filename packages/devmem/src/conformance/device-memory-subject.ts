import type { DeviceMemory } from "../device-memory.ts";

/** Device memory under test. Made anew for every case. */
export interface DeviceMemorySubject {
  /** Memory of at least 1 MiB, landings of at least 64 KiB. Called once per case. */
  open(): DeviceMemory | Promise<DeviceMemory>;
  /** Breaks the device: landings and readbacks that have not ended fail. Absent for memory that cannot be lost. */
  lose?(memory: DeviceMemory): void;
}
