import { type Discriminant, trainDiscriminant } from '../features/discriminant.js';
import { paceOf, paceWithoutStep, slowerPace } from './effective-count.js';
import { normalAbove, widened } from './probability.js';
import type { NumberProfile } from './profile.js';
import type { Joint } from './result.js';

/** Maximum number of columns for which all products of two columns are used. With more columns, only squares are used. */
const mostWithProducts = 16;

const mostColumns = 64;
const folds = 5;
const blocks = 20;

/** Minimum area under the curve that is of practical relevance. */
export const notableAuc = 0.7;

/** Standardized values are clipped to this many deviations. */
const farthest = 4;

interface JointSide {
  profiles: NumberProfile[];
  /** Each sampled row's take; null = unknown. */
  takes: Int32Array | null;
}

/**
 * Tests whether a linear discriminant of the columns, their squares and products can distinguish the two sides on held-out rows. This
 * detects changes that are not visible in any single column, such as swapped axes. Each take, or stretch of time, is in one fold only. The
 * uncertainty of the area depends on how slowly the held-out scores move. Null if fewer than two columns vary, or there are too few rows.
 */
export function compareTogether(base: JointSide, now: JointSide): Omit<Joint, 'drifted'> | null {
  const used = base.profiles
    .map((profile, i) => ({ base: profile, now: now.profiles[i]! }))
    .filter(({ base: b, now: n }) => b.deviation > 0 && b.count > 0 && n.count > 0)
    .slice(0, mostColumns);
  const rows = { base: base.profiles[0]?.sample.length ?? 0, now: now.profiles[0]?.sample.length ?? 0 };
  if (used.length < 2 || Math.min(rows.base, rows.now) < 20) return null;
  const standard = (side: 'base' | 'now') =>
    used.map((pair) => pair[side].sample.map((value) => standardized(value, pair.base)));
  const columns = { base: standard('base'), now: standard('now') };
  const expanded = {
    base: expand(columns.base, rows.base),
    now: expand(columns.now, rows.now),
  };
  const foldOf = { base: foldsOf(rows.base, base.takes), now: foldsOf(rows.now, now.takes) };
  const scores = { base: new Float64Array(rows.base), now: new Float64Array(rows.now) };
  for (let fold = 0; fold < folds; fold++) {
    const train = [
      ...expanded.base.filter((_, r) => foldOf.base[r] !== fold).map((row) => ({ row, side: 0 })),
      ...expanded.now.filter((_, r) => foldOf.now[r] !== fold).map((row) => ({ row, side: 1 })),
    ];
    if (!train.some(({ side }) => side === 0) || !train.some(({ side }) => side === 1)) continue;
    const told = trainDiscriminant(
      train.map(({ row }) => row),
      train.map(({ side }) => side),
      2,
    );
    score(expanded.base, foldOf.base, fold, told, scores.base);
    score(expanded.now, foldOf.now, fold, told, scores.now);
  }
  const auc = areaUnder(scores.base, scores.now);
  const { time, degrees } = slowerPace(
    paceOf(scores.base),
    paceWithoutStep(scores.now, new Float64Array(rows.now)),
  );
  const effective = { base: rows.base / time, now: Math.max(1, rows.now / time) };
  const names = used.map(({ base: { name } }) => name);
  const spread = Math.sqrt((effective.base + effective.now + 1) / (12 * effective.base * effective.now));
  return {
    auc,
    interval: intervalOf(auc, effective.base, effective.now),
    p: auc <= 0.5 ? 1 : widened(2 * normalAbove((auc - 0.5) / spread), degrees) / 2,
    rows,
    effective,
    folds: wholeTakes(base.takes) && wholeTakes(now.takes) ? 'recordings' : 'time',
    pairs: changedPairs(names, columns.base, columns.now),
  };
}

function standardized(value: number, { mean, deviation }: NumberProfile): number {
  if (value - value !== 0) return 0;
  return Math.min(farthest, Math.max(-farthest, (value - mean) / deviation));
}

function expand(columns: Float64Array[], rows: number): Float64Array[] {
  const count = columns.length;
  const products = count <= mostWithProducts;
  const size = count + (products ? (count * (count + 1)) / 2 : count);
  return Array.from({ length: rows }, (_, r) => {
    const row = new Float64Array(size);
    let at = 0;
    for (let a = 0; a < count; a++) row[at++] = columns[a]![r]!;
    for (let a = 0; a < count; a++) {
      for (let b = a; b < (products ? count : a + 1); b++) row[at++] = columns[a]![r]! * columns[b]![r]!;
    }
    return row;
  });
}

function wholeTakes(takes: Int32Array | null): takes is Int32Array {
  return takes !== null && new Set(takes).size >= 3;
}

/**
 * Fold of each row. Whole takes are assigned to the folds in rotation; with fewer than three takes, stretches of time are assigned instead.
 */
function foldsOf(rows: number, takes: Int32Array | null): Int32Array {
  if (!wholeTakes(takes)) {
    return Int32Array.from(
      { length: rows },
      (_, r) => Math.floor((r * Math.min(blocks, rows)) / rows) % folds,
    );
  }
  const order = [...new Set(takes)];
  const places = new Map(order.map((take, i) => [take, i % folds]));
  return takes.map((take) => places.get(take)!);
}

function score(
  rows: Float64Array[],
  foldOf: Int32Array,
  fold: number,
  told: Discriminant,
  out: Float64Array,
): void {
  rows.forEach((row, r) => {
    if (foldOf[r] === fold) out[r] = told.scoreOf(row, 1) - told.scoreOf(row, 0);
  });
}

/** Share of pairs in which NOW's row has the higher score; ties count half (Mann and Whitney 1947). */
function areaUnder(base: Float64Array, now: Float64Array): number {
  const a = base.slice().sort();
  const b = now.slice().sort();
  let below = 0;
  let upTo = 0;
  let sum = 0;
  for (const value of b) {
    while (below < a.length && a[below]! < value) below++;
    upTo = Math.max(upTo, below);
    while (upTo < a.length && a[upTo]! <= value) upTo++;
    sum += (below + upTo) / 2;
  }
  return sum / (a.length * b.length);
}

/** 99 % interval of an area (Hanley and McNeil 1982). */
function intervalOf(auc: number, n: number, m: number): [number, number] {
  const q1 = auc / (2 - auc);
  const q2 = (2 * auc * auc) / (1 + auc);
  const variance = (auc * (1 - auc) + (n - 1) * (q1 - auc * auc) + (m - 1) * (q2 - auc * auc)) / (n * m);
  // At an area of 1, the formula yields no uncertainty, so at least the uncertainty of one reversed pair is used.
  const half = 2.576 * Math.sqrt(Math.max(variance, 0.25 / (n * m)));
  return [Math.max(0, auc - half), Math.min(1, auc + half)];
}

function changedPairs(names: string[], base: Float64Array[], now: Float64Array[]): Joint['pairs'] {
  const pairs: Joint['pairs'] = [];
  for (let a = 0; a < names.length; a++) {
    for (let b = a + 1; b < names.length; b++) {
      const before = correlation(base[a]!, base[b]!);
      const after = correlation(now[a]!, now[b]!);
      if (Math.abs(before - after) >= 0.1)
        pairs.push({ a: names[a]!, b: names[b]!, base: before, now: after });
    }
  }
  const change = ({ base: before, now: after }: Joint['pairs'][number]) => Math.abs(before - after);
  return pairs.sort((a, b) => change(b) - change(a)).slice(0, 3);
}

function correlation(x: Float64Array, y: Float64Array): number {
  const n = x.length;
  let [sx, sy, xx, yy, xy] = [0, 0, 0, 0, 0];
  for (let i = 0; i < n; i++) {
    const [a, b] = [x[i]!, y[i]!];
    sx += a;
    sy += b;
    xx += a * a;
    yy += b * b;
    xy += a * b;
  }
  const scale = Math.sqrt((xx - (sx * sx) / n) * (yy - (sy * sy) / n));
  return scale > 0 ? (xy - (sx * sy) / n) / scale : 0;
}
