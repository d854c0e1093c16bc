const blocks = '▁▂▃▄▅▆▇█';

/** Shares as a row of bars, the largest full; empty ones are blank. */
export function sparkline(shares: readonly number[], most = 24): string {
  const drawn = shares.slice(0, most);
  const largest = Math.max(...drawn, 1e-300);
  return drawn
    .map((share) => (share <= 0 ? ' ' : blocks[Math.min(7, Math.floor((share / largest) * 7.999))]))
    .join('');
}

/** Two bars as one: a line of a table is short. */
export function halved(shares: readonly number[]): number[] {
  return shares.flatMap((share, i) => (i % 2 === 0 ? [share + (shares[i + 1] ?? 0)] : []));
}
