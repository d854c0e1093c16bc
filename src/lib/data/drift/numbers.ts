import { quantile } from '../../core/numbers.js';
import {
  countsBetween,
  distances,
  histogramOf,
  homogeneity,
  jensenShannon,
  sharesOf,
  stabilityIndex,
} from './bins.js';
import { type Pace, slowerPace } from './effective-count.js';
import {
  chiSquareAbove,
  kolmogorovAbove,
  kolmogorovP,
  kolmogorovSmirnovP,
  normalAbove,
  quantileAbove,
  studentBeyond,
  widened,
} from './probability.js';
import type { NumberProfile } from './profile.js';
import type { FeatureDrift, Reason } from './result.js';

/** A change below all of these limits has no practical relevance, even if it is significant. */
export const notable = { ks: 0.12, shift: 0.3, psi: 0.1, spread: 1.2, missing: 0.01 } as const;

/**
 * Minimum number of independent rows for a side's own variation to be known. With fewer rows, only values far outside the base's range
 * count as drift.
 */
export const fewest = 10;

const far = { ranges: 2, spread: 3 };

/** Minimum length of a run of equal values that counts as a stuck sensor, in rows, and relative to the base's longest run. */
export const stuckRun = { rows: 20, times: 10 };

/** The comparison of one column before correction for multiple tests; `p` applies to this column alone. */
export type Compared = Omit<FeatureDrift, 'drifted' | 'since' | 'limits'> & {
  /** Whether the change is large enough to matter. */
  large: boolean;
  /** Whether one of the reasons is certain without a test. */
  certain: boolean;
  limitsAt: (alpha: number) => FeatureDrift['limits'];
};

/** Compares two columns of numbers, in the base's bins. */
export function compareNumbers(base: NumberProfile, now: NumberProfile, unit: string | null): Compared {
  const { cuts } = base;
  const baseShares = base.count === 0 ? [] : sharesOf(base.counts);
  const nowShares = base.count === 0 ? [] : sharesOf(countsBetween(now.sorted, cuts));
  const empty = base.count === 0 || now.count === 0;
  const { ks, wasserstein } = distances(base.sorted, now.sorted);
  const pace = paceFor(base, now);
  const effective = {
    base: Math.max(1, base.count / pace.time),
    now: Math.max(1, now.count / pace.time),
  };
  const psi = empty ? 0 : stabilityIndex(baseShares, nowShares);
  const { chiSquare, degrees } = homogeneity(baseShares, nowShares, effective.base, effective.now);
  const worth = empty ? 0 : 1 / effective.base + 1 / effective.now;
  const shift = now.mean - base.mean;
  const expectedPsi = degrees * worth;
  const [missingBase, missingNow] = [missingShare(base), missingShare(now)];
  const tests: { reason: Reason; p: number }[] = [
    { reason: 'missing', p: missingP(base, now) },
    ...(empty
      ? []
      : ([
          {
            reason: 'distribution',
            p: widened(kolmogorovP(ks, effective.base, effective.now), pace.degrees),
          },
          { reason: 'distribution', p: widened(chiSquareAbove(chiSquare, degrees), pace.degrees) },
          { reason: 'mean', p: welchP(base, now, { ...effective, degrees: pace.degrees }) },
          { reason: 'spread', p: spreadP(base, now, { ...effective, degrees: pace.degrees }) },
        ] as const)),
  ];
  const least = Math.min(...tests.map(({ p }) => p));
  const reasons = new Set<Reason>();
  const scaled = base.deviation > 0 ? wasserstein / base.deviation : null;
  const moved =
    ks >= notable.ks ||
    (scaled ?? 0) >= notable.shift ||
    psi - expectedPsi >= notable.psi ||
    widerBy(base, now) >= notable.spread;
  const slow = Math.min(effective.base, effective.now) < fewest && !isFar(base, now);
  const gaps = Math.abs(missingNow - missingBase) >= notable.missing;
  for (const { reason, p } of tests) {
    if (Math.min(1, p * tests.length) < 0.05 && (reason === 'missing' ? gaps : moved)) reasons.add(reason);
  }
  const stuck = isStuck(base, now);
  const gone = base.count > 0 && now.count === 0;
  if (stuck) reasons.add('stuck');
  if (gone) reasons.add('missing');
  if (base.infinite === 0 && now.infinite > 0) reasons.add('infinite');
  return {
    name: base.name,
    kind: 'number',
    unit,
    psi,
    js: empty ? 0 : jensenShannon(baseShares, nowShares),
    ks,
    ksP: kolmogorovSmirnovP(ks, base.count, now.count),
    wasserstein,
    wassersteinScaled: scaled,
    shift: base.deviation > 0 && !empty ? shift / base.deviation : null,
    spread: base.deviation > 0 && !empty ? now.deviation / base.deviation : null,
    p: Math.min(1, least * tests.length),
    reasons: [...reasons],
    hint: empty ? null : unitChange(base, now),
    base: figuresOf(base),
    now: figuresOf(now),
    effective,
    bins: { cuts: Array.from(cuts), words: null, base: baseShares, now: nowShares },
    histogram: histogramOf(base.sorted, now.sorted),
    newCategories: [],
    large: (moved && !slow) || gaps,
    certain: stuck || gone || reasons.has('infinite'),
    limitsAt: (alpha) =>
      empty ? null : limits(alpha / tests.length, effective.base, effective.now, degrees),
  };
}

/**
 * Effective sample size of NOW at the base's pace. NOW's own pace is not used, because a step in NOW would look like slow movement, and
 * would then not be significant.
 */
export function effectiveNow(base: { count: number; effective: number }, now: { count: number }): number {
  return base.count === 0 ? Math.max(1, now.count) : Math.max(1, (now.count * base.effective) / base.count);
}

function paceFor(base: NumberProfile, now: NumberProfile): Pace {
  const own = base.count === 0 ? 1 : base.count / Math.max(1, base.effective);
  return slowerPace({ time: own, degrees: base.degrees }, now.withoutStep);
}

function missingShare({ rows, count }: NumberProfile): number {
  return rows === 0 ? 0 : (rows - count) / rows;
}

/** p-value of the difference between two shares of missing values, based on effective sample sizes. */
function missingP(base: NumberProfile, now: NumberProfile): number {
  const p = missingShare(base);
  const q = missingShare(now);
  if (p === q) return 1;
  const n = base.effectiveRows;
  const m = (now.rows * base.effectiveRows) / base.rows;
  const pooled = (p * n + q * m) / (n + m);
  const error = Math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m));
  return error === 0 ? 1 : Math.min(1, 2 * normalAbove(Math.abs(p - q) / error));
}

/** Welch's test of the distances from each side's median (Brown and Forsythe 1974): whether the spread differs. */
function spreadP(base: NumberProfile, now: NumberProfile, counts: Counts): number {
  const distancesOf = ({ count, mean, deviation, absolute, sorted }: NumberProfile) => {
    const off = count === 0 ? 0 : mean - quantile(sorted, 0.5);
    const variance = deviation ** 2 + off ** 2 - absolute ** 2;
    return { count, mean: absolute, deviation: Math.sqrt(Math.max(0, variance)) };
  };
  return welchP(distancesOf(base), distancesOf(now), counts);
}

interface Counts {
  base: number;
  now: number;
  /** Degrees of freedom of the effective sample sizes. */
  degrees: number;
}

type Moments = Pick<NumberProfile, 'count' | 'mean' | 'deviation'>;

/** Welch's test of the difference between two means, based on effective sample sizes. */
function welchP(base: Moments, now: Moments, counts: Counts): number {
  const difference = Math.abs(base.mean - now.mean);
  if (difference === 0 || base.count < 2 || now.count < 2) return 1;
  const n = Math.max(counts.base, 1.5);
  const m = Math.max(counts.now, 1.5);
  const a = base.deviation ** 2 / (n - 1);
  const b = now.deviation ** 2 / (m - 1);
  if (a + b === 0) return 0;
  const degrees = (a + b) ** 2 / (a ** 2 / (n - 1) + b ** 2 / (m - 1));
  return studentBeyond(difference / Math.sqrt(a + b), Math.min(degrees, counts.degrees));
}

/** Ratio of the two spreads. */
function widerBy(base: NumberProfile, now: NumberProfile): number {
  if (base.absolute === 0 || now.absolute === 0) return 1;
  return Math.max(base.absolute / now.absolute, now.absolute / base.absolute);
}

/** Whether the means differ by more than twice the base's range, or one side's spread is at least three times the other's. */
function isFar(base: NumberProfile, now: NumberProfile): boolean {
  if (base.count === 0 || now.count === 0) return false;
  const range = base.sorted.at(-1)! - base.sorted[0]!;
  return Math.abs(now.mean - base.mean) > far.ranges * range || widerBy(base, now) >= far.spread;
}

function isStuck(base: NumberProfile, now: NumberProfile): boolean {
  return base.deviation > 0 && now.longestRun >= Math.max(stuckRun.rows, stuckRun.times * base.longestRun);
}

/** Limits that a share `alpha` of comparisons exceeds, even if columns are unchanged. */
function limits(alpha: number, n: number, m: number, degrees: number): FeatureDrift['limits'] {
  const worth = 1 / n + 1 / m;
  const root = Math.sqrt(1 / worth);
  const ks = quantileAbove(kolmogorovAbove, alpha) / (root + 0.12 + 0.11 / root);
  const chiSquare = quantileAbove((x) => chiSquareAbove(x, degrees), alpha);
  return { ks: Math.min(1, ks), psi: degrees > 0 ? chiSquare * worth : null, expectedPsi: degrees * worth };
}

function figuresOf({ rows, count, missing, infinite, mean, deviation, sorted, longestRun }: NumberProfile) {
  const some = count > 0;
  return {
    rows,
    missing,
    infinite,
    min: some ? sorted[0]! : null,
    max: some ? sorted.at(-1)! : null,
    mean: some ? mean : null,
    deviation: some ? deviation : null,
    longestRun,
  };
}

/** Conversions between units, as now = factor · base + offset. */
const conversions: { text: string; factor: number; offset: number }[] = [
  { text: 'degC became degF', factor: 1.8, offset: 32 },
  { text: 'degF became degC', factor: 1 / 1.8, offset: -32 / 1.8 },
  { text: 'degC became K', factor: 1, offset: 273.15 },
  { text: 'K became degC', factor: 1, offset: -273.15 },
  { text: 'g became m/s²', factor: 9.80665, offset: 0 },
  { text: 'm/s² became g', factor: 1 / 9.80665, offset: 0 },
  { text: 'degrees became radians', factor: Math.PI / 180, offset: 0 },
  { text: 'radians became degrees', factor: 180 / Math.PI, offset: 0 },
  { text: '1000 times larger (milli)', factor: 1000, offset: 0 },
  { text: '1000 times smaller (kilo)', factor: 0.001, offset: 0 },
  { text: 'the sign was reversed', factor: -1, offset: 0 },
];

/** A guess, in words, at the change of unit that explains both sides' means and deviations; null if no change does. */
function unitChange(base: NumberProfile, now: NumberProfile): string | null {
  if (base.deviation === 0 || now.deviation === 0) return null;
  if (Math.abs(now.mean - base.mean) < base.deviation && ratioNear(now.deviation / base.deviation, 1, 1.5))
    return null;
  const fits = conversions.find(({ factor, offset }) => {
    const deviation = Math.abs(factor) * base.deviation;
    const mean = factor * base.mean + offset;
    return (
      ratioNear(now.deviation / deviation, 1, 1.35) &&
      Math.abs(now.mean - mean) < 0.75 * Math.max(deviation, now.deviation)
    );
  });
  return fits?.text ?? null;
}

function ratioNear(ratio: number, wanted: number, factor: number): boolean {
  return ratio < wanted * factor && ratio > wanted / factor;
}
