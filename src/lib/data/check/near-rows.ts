import { percent, plural } from '../../core/figures.js';
import { quantile } from '../../core/numbers.js';
import type { Part } from '../parts.js';
import type { Finding } from '../types.js';
import type { Rows } from './table-columns.js';

/**
 * Maximum number of rows whose neighbors are searched for, and of rows that are searched. The search takes a few seconds at most.
 */
const mostQueries = 4000;

const mostRows = 40_000;

const leastRows = 40;

/** Number of nearest rows used to estimate the usual distance between rows. */
const neighbours = 10;

/** Rank of the neighbor with which the nearest neighbor is compared. It is not 2, because a row may have several copies. */
const compared = 5;

/** Minimum share of distinct values at which a column distinguishes rows, and minimum number of such columns. */
const leastFine = 0.3;

const leastFineColumns = 2;

/**
 * Maximum number of pairs expected at random, and minimum number reported. If 0.05 pairs are expected, the probability of three is 2 in
 * 100,000.
 */
const mostByChance = 0.05;

const leastPairs = 3;

/** Maximum distance of near copies, relative to the fifth neighbor's distance. Applies even if a larger ratio would be significant. */
const mostRatio = 0.12;

/**
 * Finds rows that are near copies of others: augmented with noise, measured twice, or converted back and forth. If rows are independent,
 * the nearest row is hardly ever much closer than the fifth nearest. The ratio of the two distances is below t with probability 4·t^m,
 * regardless of the density of the rows. Here m is the number of dimensions of the data, estimated from the ten nearest rows (Levina and
 * Bickel 2004). `repeatedRows` reports equal rows. @param parts the side of each row; null without a split @param placeOf text that
 * describes a row
 */
export function checkNearRows(
  rows: Rows,
  parts: (Part | null)[],
  placeOf: (row: number) => string,
): Finding[] {
  const { columns, count, files } = rows;
  if (count < leastRows) return [];
  const distinct = distinctRows(columns, count);
  const scaled = columns.map((column) => scale(column)).filter((column) => column !== null);
  const fine = scaled.filter((column) => new Set(column).size > leastFine * count);
  if (fine.length < leastFineColumns || distinct.length < leastRows) return [];
  const near = nearestRows(scaled, fine[0]!, distinct);
  const dimensions = dimensionsOf(near);
  const most = Math.min(mostRatio, (mostByChance / (4 * near.length)) ** (1 / dimensions));
  const pairs = new Map<string, [number, number]>();
  for (const { row, others, distances } of near) {
    if (distances[compared - 1]! <= 0 || distances[0]! > most * distances[compared - 1]!) continue;
    const pair: [number, number] = row < others[0]! ? [row, others[0]!] : [others[0]!, row];
    pairs.set(pair.join(), pair);
  }
  const found = [...pairs.values()];
  if (found.length < leastPairs) return [];
  const apart = found.filter(([a, b]) => parts[a] !== null && parts[a] !== parts[b]);
  return [
    ...(apart.length > 0 ? [findingOf(apart, true)] : []),
    ...(found.length > apart.length
      ? [
          findingOf(
            found.filter((pair) => !apart.includes(pair)),
            false,
          ),
        ]
      : []),
  ];

  function findingOf(own: [number, number][], onTwoSides: boolean): Finding {
    const share = own.length / near.length;
    const [a, b] = own[0]!;
    return {
      kind: onTwoSides ? 'leak' : 'repeats',
      severity: onTwoSides ? 'error' : 'warning',
      confidence: 'likely',
      files,
      evidence: {
        method: 'near rows',
        pairs: own.length,
        share,
        ratio: most,
        dimensions,
        lines: own.slice(0, 10).map((pair) => pair.map(placeOf).join(' ≈ ')),
      },
      message: `${plural(own.length, 'pair')} of rows (${percent(share)}) ${own.length === 1 ? 'is' : 'are'} nearly equal${onTwoSides ? ' and on two sides of the split' : ''}, such as ${placeOf(a)} and ${placeOf(b)}: much closer to each other than rows of this table are by chance.`,
      advice: onTwoSides
        ? 'Keep all copies of a row on one side of the split, or remove them.'
        : 'A split by row puts them on both sides: remove them, or specify a group column that keeps them together.',
    };
  }
}

/** The first row of each set of equal rows. */
function distinctRows(columns: Float64Array[], count: number): number[] {
  const seen = new Set<string>();
  const out: number[] = [];
  for (let row = 0; row < count; row++) {
    const key = columns.map((column) => column[row]).join();
    if (!seen.has(key)) out.push(row);
    seen.add(key);
  }
  if (out.length <= mostRows) return out;
  return Array.from({ length: mostRows }, (_, i) => out[Math.floor((i * out.length) / mostRows)]!);
}

/** The column in units of its spread; null for a constant column. */
function scale(column: Float64Array): Float64Array | null {
  const sorted = Float64Array.from(column).sort();
  const spread =
    quantile(sorted, 0.84) - quantile(sorted, 0.16) || quantile(sorted, 0.99) - quantile(sorted, 0.01);
  return spread > 0 ? column.map((value) => (2 * value) / spread) : null;
}

interface Near {
  row: number;
  /** The nearest rows and their distances (the largest difference in any column), nearest first. */
  others: number[];
  distances: number[];
}

/** Finds the nearest rows. Searches outward along one column until the difference in that column alone exceeds the distances found. */
function nearestRows(columns: Float64Array[], along: Float64Array, rows: number[]): Near[] {
  const order = Int32Array.from(rows).sort((a, b) => along[a]! - along[b]!);
  const step = Math.max(1, Math.ceil(order.length / mostQueries));
  const out: Near[] = [];
  for (let at = 0; at < order.length; at += step) {
    const row = order[at]!;
    const others = new Array<number>(neighbours).fill(-1);
    const distances = new Array<number>(neighbours).fill(Number.POSITIVE_INFINITY);
    let [left, right] = [at - 1, at + 1];
    for (;;) {
      const toLeft = left >= 0 ? along[row]! - along[order[left]!]! : Number.POSITIVE_INFINITY;
      const toRight = right < order.length ? along[order[right]!]! - along[row]! : Number.POSITIVE_INFINITY;
      const bound = distances[neighbours - 1]!;
      const least = Math.min(toLeft, toRight);
      if (least >= bound || least === Number.POSITIVE_INFINITY) break;
      const other = order[toLeft <= toRight ? left-- : right++]!;
      let distance = 0;
      for (let c = 0; c < columns.length && distance < bound; c++) {
        distance = Math.max(distance, Math.abs(columns[c]![row]! - columns[c]![other]!));
      }
      if (distance >= bound) continue;
      let place = neighbours - 1;
      for (; place > 0 && distances[place - 1]! > distance; place--) {
        distances[place] = distances[place - 1]!;
        others[place] = others[place - 1]!;
      }
      distances[place] = distance;
      others[place] = other;
    }
    out.push({ row, others, distances });
  }
  return out;
}

/**
 * Estimates the number of dimensions of the data from each row's second to tenth neighbor. The first neighbor is omitted, because it may be
 * a copy.
 */
function dimensionsOf(near: Near[]): number {
  let sum = 0;
  let count = 0;
  for (const { distances } of near) {
    const far = distances[neighbours - 1]!;
    for (let k = 1; k < neighbours - 1; k++) {
      if (distances[k]! <= 0) continue;
      sum += Math.log(far / distances[k]!);
      count++;
    }
  }
  // The second neighbor is treated as the nearest one here, which makes the estimate a little too high.
  return count > 0 && sum > 0 ? Math.max(1, count / sum) : 1;
}
