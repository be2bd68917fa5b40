declare module "deepool" {
  export interface ObjectPool<Item> {
    use(): Item;
    recycle(item: Item): void;
  }
  export function create<Item>(factory: () => Item): ObjectPool<Item>;
}
