import { NetmemError } from "@netmem/core";
import type { NetDevice } from "./net-device.ts";

/** The devices of one host, by interface index (kernel: a network namespace's device list). */
export class DeviceRegistry {
  private readonly devices: (NetDevice | null)[] = [null];
  private nextNapiId = 1;

  /**
   * Gives `device` the next interface index, >= 1; indices are not used twice.
   * @throws `ERR_NETMEM_NAME_TAKEN` (EEXIST)
   */
  register(device: NetDevice): number {
    if (this.byName(device.name) !== null) {
      throw new NetmemError({
        code: "ERR_NETMEM_NAME_TAKEN",
        errno: "EEXIST",
        reason: `there is a device ${device.name} already`,
        remedy: "Give every device of a host its own name.",
        param: "name",
        value: device.name,
      });
    }
    return this.devices.push(device) - 1;
  }

  unregister(ifindex: number): void {
    this.devices[ifindex] = null;
  }

  get(ifindex: number): NetDevice | null {
    return this.devices[ifindex] ?? null;
  }

  byName(name: string): NetDevice | null {
    return this.devices.find((device) => device?.name === name) ?? null;
  }

  list(): NetDevice[] {
    return this.devices.filter((device) => device !== null);
  }

  /** @internal Id for a new poll instance, unique on the host. */
  takeNapiId(): number {
    return this.nextNapiId++;
  }
}
