import { seededRandom } from '../../core/index.js';

/** More rows get fewer draws: the work stays at about a second. */
const mostWork = 5e7;

/**
 * 95 % interval of any statistic by drawing whole groups again, with replacement (Efron's percentile bootstrap; by clusters
 * as in Davison and Hinkley, 1997, section 3.8): rows of one recording are alike, so recordings are what was sampled.
 * @param groups group of each row, such as its recording; undefined = each row by itself
 * @param statistic of rows that count as often as their weight says; null draws are left out
 * @returns null where there is nothing to draw from (fewer than two groups)
 */
export function bootstrapInterval(
  rows: number,
  groups: readonly string[] | undefined,
  statistic: (weights: Float64Array) => number | null,
  seed = 7,
): [number, number] | null {
  const numbers = groupNumbers(rows, groups);
  const count = numbers.count;
  if (count < 2) return null;
  const random = seededRandom(seed);
  const draws = Math.round(Math.min(1000, Math.max(100, mostWork / rows)));
  const times = new Float64Array(count);
  const weights = new Float64Array(rows);
  const found: number[] = [];
  for (let draw = 0; draw < draws; draw++) {
    times.fill(0);
    for (let i = 0; i < count; i++) times[Math.floor(random() * count)]! += 1;
    for (let row = 0; row < rows; row++) weights[row] = times[numbers.of[row]!]!;
    const value = statistic(weights);
    if (value !== null && Number.isFinite(value)) found.push(value);
  }
  if (found.length < draws / 2) return null;
  found.sort((a, b) => a - b);
  return [quantile(found, 0.025), quantile(found, 0.975)];
}

function groupNumbers(rows: number, groups: readonly string[] | undefined) {
  if (groups === undefined) return { count: rows, of: Uint32Array.from({ length: rows }, (_, i) => i) };
  const known = new Map<string, number>();
  for (const group of groups) if (!known.has(group)) known.set(group, known.size);
  return { count: known.size, of: Uint32Array.from(groups, (group) => known.get(group)!) };
}

/** Of sorted values, between neighbours linearly (Hyndman and Fan's type 7). */
export function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!);
}
