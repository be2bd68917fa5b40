import { NetmemError } from "./errors.ts";

/** Numbers of the built-in memory types; the first four are the kernel's. Further types get numbers from 5 on. */
export const MemType = { PageShared: 0, PageOrder0: 1, PagePool: 2, XskBuffPool: 3, Devmem: 4 } as const;

const builtinNames = ["page_shared", "page_order0", "page_pool", "xsk_buff_pool", "devmem"] as const;
const FIRST_DYNAMIC_TYPE = 5;
const MAX_TYPE = 255;

/** What a memory type registers: what becomes of buffers that came back. */
export interface MemModel {
  /** Number of the type. {@link MemTypeRegistry.register} hands out the numbers above the built-in ones. */
  readonly type: number;
  readonly name: string;
  /**
   * Takes `refs[0..count)`, which came home to owner `ownerId`, all checked and re-armed (their generation is the next
   * one). Once per batch, on the owner's thread. `refs` belongs to the caller.
   */
  drain(ownerId: number, refs: Int32Array, count: number): void;
}

/** Names and models of the memory types of one host. The built-in numbers are reserved; their packages install the models. */
export class MemTypeRegistry {
  private readonly models: (MemModel | null)[] = builtinNames.map(() => null);
  private readonly names: string[] = [...builtinNames];

  /** Reserves the number for a type of your own. The same name twice gives the same number. */
  numberOf(name: string): number {
    const known = this.names.indexOf(name);
    if (known >= 0) return known;
    if (this.names.length > MAX_TYPE) {
      throw new NetmemError({
        code: "ERR_NETMEM_TYPES_EXHAUSTED",
        errno: "ENOSPC",
        reason: `all ${MAX_TYPE + 1} memory types are taken`,
        remedy: "Register a type once per host, not once per queue.",
        param: "name",
        value: name,
      });
    }
    this.models.push(null);
    return this.names.push(name) - 1;
  }

  /**
   * Installs the model of a type; the name must belong to the number.
   * @throws `ERR_NETMEM_TYPE_CONFLICT` (EEXIST) when the type has another model, or number and name disagree.
   */
  install(model: MemModel): void {
    const current = this.models[model.type];
    if (this.names[model.type] !== model.name || (current !== null && current !== model)) {
      throw new NetmemError({
        code: "ERR_NETMEM_TYPE_CONFLICT",
        errno: "EEXIST",
        reason: `memory type ${model.type} is ${this.names[model.type] ?? "unknown"}, not ${model.name}, or has a model already`,
        remedy: "Take the number from numberOf(name) and install one model per type and host.",
        param: "model.type",
        value: model.type,
      });
    }
    this.models[model.type] = model;
  }

  nameOf(type: number): string {
    return this.names[type] ?? `type ${type}`;
  }

  modelOf(type: number): MemModel | null {
    return this.models[type] ?? null;
  }

  /** True when buffers of the type can be registered and returned on this host. */
  isSupported(type: number): boolean {
    return this.modelOf(type) !== null;
  }

  /** Number of known types, built-in ones included. */
  get count(): number {
    return Math.max(this.names.length, FIRST_DYNAMIC_TYPE);
  }
}
