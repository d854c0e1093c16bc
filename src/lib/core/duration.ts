import { AiotError } from './errors/index.js';

const unitsMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * `500ms`, `30s`, `1.5m`, `2h`, `7d` → milliseconds. A bare number is refused: nobody can tell which unit was meant.
 * @throws AIOT_USAGE
 */
export function parseDuration(text: string): number {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text.trim()) ?? [];
  const ms = Number(digits) * (unitsMs[unit] ?? Number.NaN);
  if (!Number.isSafeInteger(Math.round(ms))) {
    throw new AiotError('AIOT_USAGE', `expected a time such as 500ms, 30s, 5m, 2h or 7d; got "${text}"`);
  }
  return Math.round(ms);
}

/** The same the other way, in the largest unit that leaves no fraction: 10000 → `10s`. */
export function formatDuration(ms: number): string {
  const [unit, factor] = Object.entries(unitsMs).findLast(([, each]) => ms >= each && ms % each === 0) ?? [
    'ms',
    1,
  ];
  return `${ms / factor}${unit}`;
}
