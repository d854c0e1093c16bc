const blocks = '▁▂▃▄▅▆▇█';

/** Shares as a row of bars, the largest full; empty ones are blank. */
export function sparkline(shares: readonly number[], most = 24): string {
  const drawn = shares.slice(0, most);
  const largest = Math.max(...drawn, 1e-300);
  return drawn
    .map((share) => (share <= 0 ? ' ' : blocks[Math.min(7, Math.floor((share / largest) * 7.999))]))
    .join('');
}
