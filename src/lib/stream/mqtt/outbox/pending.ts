import type { Batch, Item } from './types.js';

/** What was never sent, in its order. */
export interface Pending {
  readonly length: number;
  add(item: Item): void;
  first(): Item | undefined;
  /** Takes the first away. */
  shift(): void;
  /** Puts these before all others. */
  unshift(items: readonly Item[]): void;
  /** Takes those of a write away. */
  drop(batch: Batch): void;
}

/** An array's own `shift` moves all that are behind. */
export function createPending(): Pending {
  let items: Item[] = [];
  let next = 0;
  const keep = (kept: Item[]) => {
    items = kept;
    next = 0;
  };
  return {
    get length() {
      return items.length - next;
    },
    add: (item) => items.push(item),
    first: () => items[next],
    shift() {
      next++;
      if (next === items.length) keep([]);
    },
    unshift: (before) => keep([...before, ...items.slice(next)]),
    drop: (batch) => keep(items.slice(next).filter((item) => item.batch !== batch)),
  };
}
