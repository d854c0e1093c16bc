/** Things by the address that they are of; the busiest address, and the order in which things came, cost no search. */
export class Crowd<T> {
  private readonly byAddress = new Map<string, Set<T>>();
  /** Addresses by how many things they have. */
  private readonly byCount: Set<string>[] = [];
  private readonly order = new Set<T>();
  private most = 0;

  get size(): number {
    return this.order.size;
  }

  countOf(address: string): number {
    return this.byAddress.get(address)?.size ?? 0;
  }

  add(address: string, thing: T): void {
    const own = this.byAddress.get(address) ?? new Set();
    this.byAddress.set(address, own);
    own.add(thing);
    this.order.add(thing);
    this.recount(address, own.size - 1, own.size);
  }

  delete(address: string, thing: T): void {
    const own = this.byAddress.get(address);
    if (!own?.delete(thing)) return;
    this.order.delete(thing);
    if (own.size === 0) this.byAddress.delete(address);
    this.recount(address, own.size + 1, own.size);
  }

  /** An address with most things; of several, the one that has had so many for longest. */
  busiest(): string | undefined {
    return this.byCount[this.most]?.values().next().value;
  }

  oldestOfBusiest(): T | undefined {
    return this.byAddress
      .get(this.busiest() ?? '')
      ?.values()
      .next().value;
  }

  /** The oldest thing of the address whose turn it is: addresses take turns. */
  next(): T | undefined {
    const [address, own] = this.byAddress.entries().next().value ?? [];
    if (address === undefined || own === undefined) return undefined;
    this.byAddress.delete(address);
    this.byAddress.set(address, own);
    return own.values().next().value;
  }

  /** Oldest first. Things may be deleted meanwhile. */
  inOrder(): Iterable<T> {
    return this.order.values();
  }

  private recount(address: string, before: number, now: number): void {
    this.byCount[before]?.delete(address);
    if (now > 0) {
      this.byCount[now] ??= new Set();
      this.byCount[now].add(address);
    }
    this.most = Math.max(this.most, now);
    while (this.most > 0 && (this.byCount[this.most]?.size ?? 0) === 0) this.most--;
  }
}
