import { failParam, NetmemError } from "./errors.ts";
import { LocalNames, type NameTable } from "./name-table.ts";
import type { MemOwner } from "./owners.ts";

/** Numbers of the built-in memory types; the first four are the kernel's. Further types get numbers from 5 on. */
export const MemType = { PageShared: 0, PageOrder0: 1, PagePool: 2, XskBuffPool: 3, Devmem: 4 } as const;

/** Names of the built-in types, by number. */
export const builtinTypeNames: readonly string[] = [
  "page_shared",
  "page_order0",
  "page_pool",
  "xsk_buff_pool",
  "devmem",
];
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
  /**
   * Makes the object of an owner whose thread died, on the thread that takes over, and claims it by `owners.adopt`. From
   * then on the owner's buffers come home here. Absent: such owners are reported and their buffers stay where they are.
   */
  adopt?(ownerId: number): MemOwner;
}

/**
 * Names and models of the memory types of one host. The built-in numbers are reserved; their packages install the models.
 * Numbers are the same on every thread of a host; models are functions, so each thread installs its own.
 */
export class MemTypeRegistry {
  private readonly models: (MemModel | null)[] = [];
  private readonly names: NameTable;

  constructor(names: NameTable = new LocalNames(builtinTypeNames, MAX_TYPE + 1)) {
    this.names = names;
  }

  /**
   * Reserves the number for a type of your own. The same name gives the same number, also on another thread.
   * @throws `ERR_NETMEM_TYPES_EXHAUSTED` (ENOSPC), `ERR_NETMEM_INVALID_PARAM` (EINVAL) for the empty name.
   */
  numberOf(name: string): number {
    if (name === "") failParam("name", name, "one that is not empty", "Name the type.");
    const number = this.names.numberOf(name);
    if (number < 0) {
      throw new NetmemError({
        code: "ERR_NETMEM_TYPES_EXHAUSTED",
        errno: "ENOSPC",
        reason: `all ${MAX_TYPE + 1} memory types are taken`,
        remedy: "Register a type once per host, not once per queue.",
        param: "name",
        value: name,
      });
    }
    return number;
  }

  /**
   * Installs the model of a type; the name must belong to the number.
   * @throws `ERR_NETMEM_TYPE_CONFLICT` (EEXIST) when the type has another model, or number and name disagree.
   */
  install(model: MemModel): void {
    const current = this.models[model.type] ?? null;
    // By number: a table of names keeps the beginning of a long one.
    const number = this.names.find(model.name);
    if (number < 0 || number !== model.type || (current !== null && current !== model)) {
      throw new NetmemError({
        code: "ERR_NETMEM_TYPE_CONFLICT",
        errno: "EEXIST",
        reason: `memory type ${model.type} is ${this.names.nameOf(model.type) ?? "unknown"}, not ${model.name}, or has a model already`,
        remedy: "Take the number from numberOf(name) and install one model per type and host.",
        param: "model.type",
        value: model.type,
      });
    }
    this.models[model.type] = model;
  }

  nameOf(type: number): string {
    return this.names.nameOf(type) ?? `type ${type}`;
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
    return Math.max(this.names.count, FIRST_DYNAMIC_TYPE);
  }
}
