/** The smallest value that at least this share of the values does not exceed (nearest rank). `sorted` rises, and is not empty. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1]!;
}
