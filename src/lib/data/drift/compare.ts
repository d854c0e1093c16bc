import type { Rows } from '../tables/rows.js';
import { homogeneity, jensenShannon, stabilityIndex } from './bins.js';
import {
  boundsOf,
  type Course,
  changeIn,
  courseOf,
  largeSince,
  momentOf,
  stretches,
  windowsOf,
} from './course.js';
import { compareTogether, notableAuc } from './joint-drift.js';
import { type Compared, compareNumbers, effectiveNow, fewest, notable } from './numbers.js';
import { chiSquareAbove, normalAbove, quantileAbove, widened } from './probability.js';
import type { NumberProfile, Profile, TextProfile } from './profile.js';
import type { Drift, FeatureDrift, Joint, Reason } from './result.js';
import { emptied, type Side, sideOf } from './side.js';

interface CompareOptions {
  /** False-positive rate: the probability that a comparison without any change is reported as drift. */
  alpha: number;
  bins: number;
  /** Units by column. */
  units?: Record<string, string>;
  /** First rows of the windows over NOW, and the end of the last window. */
  windows?: readonly number[] | null;
}

/** Compares rows of NOW with a base; limits (gates) are checked separately. NOW's values are released column by column. */
export function compareSides(
  base: Side,
  nowRows: Rows,
  options: CompareOptions,
): Omit<Drift, 'gates' | 'ok'> {
  const { alpha, windows = null } = options;
  const bounds = boundsOf(nowRows.rows, stretches);
  const { now, found, courses, unlike } = compareColumns(base, nowRows, bounds, options);
  const joint = compareJointly(base, now);
  const adjusted = holm([...found.map(({ one }) => one.p), ...(joint ? [joint.p] : [])]);
  const finished = found.map(({ role, one }, i) => {
    const course = courses.get(one.name);
    return {
      role,
      ...finish(one, adjusted[i]!, { alpha, tests: adjusted.length, course, now, nowRows, bounds }),
    };
  });
  const jointDrift: Joint | null = joint && {
    ...joint,
    drifted: adjusted.at(-1)! < alpha && joint.auc >= notableAuc && joint.effective.base >= fewest,
  };
  const of = (wanted: Role) =>
    finished.flatMap(({ role, ...feature }) => (role === wanted ? [feature satisfies FeatureDrift] : []));
  const others = (side: Side, other: Side) =>
    side.features.map(({ name }) => name).filter((name) => !other.features.some((one) => one.name === name));
  const ignored = [...new Set([...base.ignored, ...now.ignored])].map((name) => ({
    name,
    why: 'no sensor values',
  }));
  return {
    base: { name: base.name, from: base.from, rows: base.rows },
    now: { name: now.name, from: now.from, rows: now.rows },
    alpha,
    features: of('feature'),
    drifted: finished.some(({ drifted }) => drifted) || jointDrift?.drifted === true,
    label: of('label')[0] ?? null,
    prediction: of('prediction')[0] ?? null,
    joint: jointDrift,
    windows: windows ? windowsOf(pairsOf(base, now), courses, windows, nowRows, alpha) : [],
    onlyInBase: others(base, now),
    onlyInNow: others(now, base),
    ignored: [
      ...ignored,
      ...unlike.map((name) => ({ name, why: 'as many distinct words as rows: names, not categories' })),
    ],
    approximate: base.from === 'reference',
  };
}

type Role = 'feature' | 'label' | 'prediction';

interface ComparedColumns {
  now: Side;
  /** The compared columns in the base's order, followed by label and prediction. */
  found: { role: Role; one: Compared }[];
  courses: Map<string, Course>;
  /** Text columns with too many distinct words to be categories. */
  unlike: string[];
}

/** Compares each column of NOW with the base's while its values are in memory. */
function compareColumns(
  base: Side,
  nowRows: Rows,
  bounds: number[],
  { alpha, bins, units = {}, windows = null }: CompareOptions,
): ComparedColumns {
  const bases = new Map(base.features.map((profile) => [profile.name, profile]));
  const courses = new Map<string, Course>();
  const unlike: string[] = [];
  const found: ComparedColumns['found'] = [];
  const now = sideOf(nowRows, {
    bins,
    keepSorted: false,
    look(column, profile) {
      const role =
        column === nowRows.label ? 'label' : column === nowRows.prediction ? 'prediction' : 'feature';
      const against = role === 'feature' ? bases.get(column.name) : base[role];
      if (!against) return;
      const one = comparePair(against, profile, units[column.name] ?? null);
      if (one === null) unlike.push(column.name);
      else found.push({ role, one });
      // A column's course over time is needed for windows, and if the column may have drifted.
      const mayHave = one !== null && (one.certain || one.p < alpha);
      if (against.kind === column.kind && (windows || mayHave))
        courses.set(against.name, courseOf(column, profile, against, bounds, windows));
    },
  });
  const places = new Map([...bases.keys()].map((name, i) => [name, i]));
  const placeOf = ({ role, one }: ComparedColumns['found'][number]) =>
    role === 'feature' ? places.get(one.name)! : places.size + (role === 'label' ? 0 : 1);
  return { now, found: found.sort((a, b) => placeOf(a) - placeOf(b)), courses, unlike };
}

function pairsOf(base: Side, now: Side): { base: Profile; now: Profile }[] {
  return base.features.flatMap((profile) => {
    const other = now.features.find(({ name }) => name === profile.name);
    return other ? [{ base: profile, now: other }] : [];
  });
}

function compareJointly(base: Side, now: Side): Omit<Joint, 'drifted'> | null {
  const numbers = pairsOf(base, now).filter(
    (pair) => pair.base.kind === 'number' && pair.now.kind === 'number',
  );
  return compareTogether(
    { profiles: numbers.map((pair) => pair.base as NumberProfile), takes: base.sampleTakes },
    { profiles: numbers.map((pair) => pair.now as NumberProfile), takes: now.sampleTakes },
  );
}

function comparePair(base: Profile, now: Profile, unit: string | null): Compared | null {
  if (base.kind !== now.kind) {
    // A column without any values has no kind.
    if (now.count === 0) return comparePair(base, emptied(base.kind, now), unit);
    if (base.count === 0) return comparePair(emptied(now.kind, base), now, unit);
    return otherType(base, now, unit);
  }
  if (base.kind === 'number') return compareNumbers(base, now as NumberProfile, unit);
  const words = now as typeof base;
  return base.endless || words.endless ? null : compareWords(base, words);
}

/** Numbers became text, or the reverse, so no value on one side occurs on the other. */
function otherType(base: Profile, now: Profile, unit: string | null): Compared {
  const blank = compareWords(emptied('text', base) as never, emptied('text', now) as never);
  const [number, words] = [base, now].map((side) => (side.kind === 'number' ? 1 : 0)) as [number, number];
  return {
    ...blank,
    name: base.name,
    kind: now.kind,
    unit,
    psi: 2 * (1 - 1e-4) * Math.log(1e4),
    js: Math.sqrt(Math.LN2),
    p: 0,
    reasons: ['type'],
    bins: { cuts: null, words: ['a number', 'text'], base: [number, 1 - number], now: [words, 1 - words] },
    certain: true,
    large: true,
  };
}

/** Corrects for all tests together (Holm 1979), so that the probability of any false alarm is no higher than for a single test. */
function holm(ps: number[]): number[] {
  const order = [...ps.keys()].sort((a, b) => ps[a]! - ps[b]!);
  const out = new Array<number>(ps.length);
  let least = 0;
  order.forEach((index, rank) => {
    least = Math.max(least, Math.min(1, ps[index]! * (ps.length - rank)));
    out[index] = least;
  });
  return out;
}

interface Finish {
  alpha: number;
  /** Total number of tests. */
  tests: number;
  course: Course | undefined;
  now: Side;
  nowRows: Rows;
  bounds: number[];
}

function finish(
  { large, certain, limitsAt, ...one }: Compared,
  adjusted: number,
  { alpha, tests, course, now, nowRows, bounds }: Finish,
): FeatureDrift {
  const cut = course && adjusted < alpha ? changeIn(one, course, alpha) : 0;
  // A change that is small over all of NOW may be large after its start.
  const slow = Math.min(one.effective.base, one.effective.now) < fewest;
  const late = course !== undefined && !large && !slow && cut > 0 && largeSince(one, course, cut);
  const drifted = certain || (adjusted < alpha && (large || late));
  const own = now.features.find(({ name }) => name === one.name);
  const isStuck = one.reasons.includes('stuck') && own?.kind === 'number';
  const row = !drifted ? 0 : isStuck ? own.longestRunAt : bounds[cut]!;
  return {
    ...one,
    drifted,
    reasons: !drifted ? [] : one.reasons.length > 0 ? one.reasons : ['distribution'],
    hint: drifted ? one.hint : null,
    since: drifted ? momentOf(row, nowRows.rows, nowRows.time, now.rateHz) : null,
    limits: limitsAt(alpha / tests),
  };
}

/** Compares two columns of categories: χ² of the shares, and categories that are missing in the base. */
function compareWords(base: TextProfile, now: TextProfile): Compared {
  const words = [...new Set([...base.counts.keys(), ...now.counts.keys()])];
  const share = (side: TextProfile, word: string) => (side.counts.get(word) ?? 0) / Math.max(1, side.count);
  const baseShares = words.map((word) => share(base, word));
  const nowShares = words.map((word) => share(now, word));
  const empty = base.count === 0 || now.count === 0;
  const psi = empty ? 0 : stabilityIndex(baseShares, nowShares);
  const effective = { base: Math.max(1, base.effective), now: effectiveNow(base, now) };
  const { chiSquare, degrees } = homogeneity(baseShares, nowShares, effective.base, effective.now);
  const newWords = words.filter((word) => !base.counts.has(word));
  const newShare = newWords.reduce((sum, word) => sum + share(now, word), 0);
  const worth = 1 / effective.base + 1 / effective.now;
  const missing = missingShares(base, now, effective.base, effective.now);
  const tests: { reason: Reason; p: number }[] = [
    { reason: 'missing', p: missing.p },
    { reason: 'distribution', p: empty ? 1 : widened(chiSquareAbove(chiSquare, degrees), base.degrees) },
    // Probability that the base contains none of these categories at random, if they are as frequent there as in NOW.
    { reason: 'category', p: newShare === 0 ? 1 : (1 - newShare) ** effective.base },
  ];
  const js = empty ? 0 : jensenShannon(baseShares, nowShares);
  const largest = Math.max(0, ...words.map((_, i) => Math.abs(baseShares[i]! - nowShares[i]!)));
  const moved = largest >= notable.ks || psi - degrees * worth >= notable.psi || newShare >= notable.missing;
  const least = Math.min(...tests.map(({ p }) => p));
  const reasons = tests
    .filter(({ reason, p }) => p * tests.length < 0.05 && (reason === 'missing' ? missing.large : moved))
    .map(({ reason }) => reason);
  const figures = ({ rows, missing: gone }: TextProfile) => ({
    rows,
    missing: gone,
    infinite: 0,
    min: null,
    max: null,
    mean: null,
    deviation: null,
    longestRun: 0,
  });
  return {
    name: base.name,
    kind: 'text',
    unit: null,
    psi,
    js,
    ks: null,
    ksP: null,
    wasserstein: null,
    wassersteinScaled: null,
    shift: null,
    spread: null,
    p: Math.min(1, least * tests.length),
    reasons,
    hint: null,
    base: figures(base),
    now: figures(now),
    effective,
    bins: { cuts: null, words, base: baseShares, now: nowShares },
    histogram: null,
    newCategories: newWords,
    large: moved || missing.large,
    certain: base.count > 0 && now.count === 0,
    limitsAt: (alpha) => ({
      ks: null,
      psi:
        degrees > 0 ? quantileAbove((x) => chiSquareAbove(x, degrees), alpha / tests.length) * worth : null,
      expectedPsi: degrees * worth,
    }),
  };
}

function missingShares(
  base: TextProfile,
  now: TextProfile,
  n: number,
  m: number,
): { p: number; large: boolean } {
  const p = base.missing / Math.max(1, base.rows);
  const q = now.missing / Math.max(1, now.rows);
  const pooled = (p * n + q * m) / (n + m);
  const error = Math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m));
  return {
    p: error === 0 ? 1 : Math.min(1, 2 * normalAbove(Math.abs(p - q) / error)),
    large: Math.abs(p - q) >= notable.missing,
  };
}
