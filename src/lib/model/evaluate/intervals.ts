import { seededRandom } from '../../core/index.js';

/** More rows get fewer draws: the work stays at about a second. */
const mostWork = 5e7;

/**
 * 95 % interval of any statistic by drawing whole groups again, with replacement (Efron's percentile bootstrap; by clusters
 * as in Davison and Hinkley, 1997, section 3.8): rows of one recording are alike, so recordings are what was sampled.
 * @param groups group of each row, such as its recording; undefined = each row by itself
 * @param strata class of each row: groups are then drawn within the class of their first row, so that none is missing from a
 *   draw (a class with one group varies by nothing, and says nothing of how certain it is)
 * @param statistic of rows that count as often as their weight says; null draws are left out
 * @returns null where there is nothing to draw from (fewer than two groups), and where every draw gives the same: without any
 *   error among the rows, drawing them again cannot say how likely one is
 */
export function bootstrapInterval(
  rows: number,
  groups: readonly string[] | undefined,
  statistic: (weights: Float64Array) => number | null,
  { seed = 7, strata }: { seed?: number; strata?: ArrayLike<number> } = {},
): [number, number] | null {
  const numbers = groupNumbers(rows, groups);
  const { count, of } = numbers;
  if (count < 2) return null;
  const strataMembers = membersOf(numbers, strata);
  const random = seededRandom(seed);
  const draws = Math.round(Math.min(1000, Math.max(100, mostWork / rows)));
  const times = new Float64Array(count);
  const weights = of ? new Float64Array(rows) : times;
  const found: number[] = [];
  for (let draw = 0; draw < draws; draw++) {
    times.fill(0);
    for (const members of strataMembers)
      for (let i = 0; i < members.length; i++) times[members[Math.floor(random() * members.length)]!]! += 1;
    if (of) for (let row = 0; row < rows; row++) weights[row] = times[of[row]!]!;
    const value = statistic(weights);
    if (value !== null && Number.isFinite(value)) found.push(value);
  }
  if (found.length < draws / 2) return null;
  found.sort((a, b) => a - b);
  if (found[0] === found.at(-1)) return null;
  return [quantile(found, 0.025), quantile(found, 0.975)];
}

/** What rows belong to, by number; `of` null = each row to itself. */
interface Grouped {
  count: number;
  of: Uint32Array | null;
}

/** Groups of each stratum, strata as their first rows come; all of them in one without strata. */
function membersOf({ count, of }: Grouped, strata?: ArrayLike<number>): Uint32Array[] {
  // The first row of a group says its stratum.
  const stratum = new Int32Array(count).fill(-1);
  const numbers = new Map<number, number>();
  for (let row = 0; row < (of?.length ?? count); row++) {
    const group = of ? of[row]! : row;
    if (stratum[group]! >= 0) continue;
    const own = strata === undefined ? 0 : strata[row]!;
    const number = numbers.get(own) ?? numbers.size;
    if (number === numbers.size) numbers.set(own, number);
    stratum[group] = number;
  }
  const sizes = new Uint32Array(numbers.size);
  for (const number of stratum) sizes[number]! += 1;
  const members = Array.from(sizes, (size) => new Uint32Array(size));
  const filled = new Uint32Array(numbers.size);
  // In the order of their first rows, which is that of their numbers.
  for (let group = 0; group < count; group++) {
    const number = stratum[group]!;
    members[number]![filled[number]!++] = group;
  }
  return members;
}

function groupNumbers(rows: number, groups: readonly string[] | undefined): Grouped {
  if (groups === undefined) return { count: rows, of: null };
  const known = new Map<string, number>();
  for (const group of groups) if (!known.has(group)) known.set(group, known.size);
  if (known.size === rows) return { count: rows, of: null };
  return { count: known.size, of: Uint32Array.from(groups, (group) => known.get(group)!) };
}

/** Of sorted values, between neighbours linearly (Hyndman and Fan's type 7). */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!);
}
