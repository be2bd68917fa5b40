import { checkInt, failParam } from "@netmem/core";

export interface BudgetParams {
  /** Pages that all tenants together may have out, 1 to 2^20. */
  readonly pages: number;
}

export interface TenantParams {
  /** Shown in errors and introspection. */
  readonly name: string;
  /** Pages that the tenant can always have: nobody else is given them. Default 0. */
  readonly softPages?: number;
  /** Pages that it never has more than. Default: all of the budget. */
  readonly hardPages?: number;
}

/** One share of a budget. Several providers and pools may use it. Made by {@link Budget.tenant}. */
export class Tenant {
  readonly name: string;
  readonly softPages: number;
  readonly hardPages: number;
  /** Pages out. */
  usedPages = 0;
  /** Calls that got less because of `hardPages`. */
  overHard = 0;
  /** Calls that got less because the rest is promised to others, or used. */
  overSoft = 0;
  private readonly budget: Budget;

  /** @internal Use {@link Budget.tenant}. */
  constructor(budget: Budget, params: TenantParams) {
    this.budget = budget;
    this.name = params.name;
    this.hardPages = checkInt("hardPages", params.hardPages ?? budget.pages, 0, budget.pages);
    this.softPages = checkInt("softPages", params.softPages ?? 0, 0, this.hardPages);
  }

  /** How many of `count` blocks of 2^order pages the tenant may take now. Counts a shortfall; takes nothing. */
  grant(count: number, order: number): number {
    const free = this.budget.pages - this.budget.usedPages;
    const underHard = Math.max(this.hardPages - this.usedPages, 0) >> order;
    const unpromised = Math.min(this.budget.unpromisedFor(this), free);
    const underSoft = Math.max(Math.min(this.softPages - this.usedPages, free), unpromised, 0) >> order;
    const granted = Math.min(count, underHard, underSoft);
    if (granted < count) {
      if (underHard <= underSoft) this.overHard++;
      else this.overSoft++;
    }
    return granted;
  }
}

/**
 * Pages divided among tenants. Below its soft mark a tenant always finds room. Above, it borrows what is neither used nor
 * promised to others, up to its hard mark; so no tenant starves another, and nothing lies idle without need.
 */
export class Budget {
  readonly pages: number;
  private readonly tenants: Tenant[] = [];

  /** @internal Use {@link createBudget}. */
  constructor(params: BudgetParams) {
    this.pages = checkInt("pages", params.pages, 1, 2 ** 20);
  }

  /**
   * A new share. Pages that others have borrowed by then come back as their buffers do.
   * @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL), also when the soft marks together exceed the budget.
   */
  tenant(params: TenantParams): Tenant {
    const tenant = new Tenant(this, params);
    const promised = this.tenants.reduce((sum, { softPages }) => sum + softPages, 0);
    const rest = this.pages - promised;
    if (tenant.softPages > rest) {
      failParam("softPages", tenant.softPages, `at most ${rest}, the rest is promised`, "Enlarge the budget.");
    }
    this.tenants.push(tenant);
    return tenant;
  }

  /** Pages out, of all tenants. */
  get usedPages(): number {
    let used = 0;
    for (const tenant of this.tenants) used += tenant.usedPages;
    return used;
  }

  /** Pages that are free and that no other tenant was promised. May be below 0 after a late promise. */
  unpromisedFor(tenant: Tenant): number {
    let rest = this.pages;
    for (const one of this.tenants) {
      rest -= one === tenant ? one.usedPages : Math.max(one.usedPages, one.softPages);
    }
    return rest;
  }
}

/** @throws `ERR_NETMEM_INVALID_PARAM` (EINVAL) */
export function createBudget(params: BudgetParams): Budget {
  return new Budget(params);
}
