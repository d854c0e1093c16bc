/** 521639 → `521,639` */
export function thousands(value: number): string {
  return value.toLocaleString('en-US');
}

/** 0.9712 → `0.971` */
export function score(value: number): string {
  return value.toFixed(3);
}

/** Deals the items out to `count` hands in turn, so that each hand gets some of every kind of a sorted list. */
export function shares<T>(items: readonly T[], count: number): T[][] {
  return Array.from({ length: count }, (_, hand) => items.filter((_item, i) => i % count === hand));
}
