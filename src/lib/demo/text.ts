/** 0.9712 → `0.971` */
export function score(value: number): string {
  return value.toFixed(3);
}
