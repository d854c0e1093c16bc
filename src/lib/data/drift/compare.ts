import type { Rows } from '../rows/types.js';
import { type Compared, compareNumbers } from './compare-numbers.js';
import { compareWords } from './compare-words.js';
import { compareTogether, notableAuc } from './joint.js';
import { countsByStretch, type NumberProfile, type Profile } from './profile.js';
import type { Drift, FeatureDrift, Joint } from './result.js';
import { emptied, type Side, sideOf } from './side.js';
import { boundsOf, changePoint, momentOf, stretches } from './since.js';
import { type WindowPart, windowsOf } from './windows.js';

export interface CompareOptions {
  /** Chance that a comparison without any change is called drifted. */
  alpha: number;
  bins: number;
  /** Units by column. */
  units?: Record<string, string>;
  /** First rows of windows over NOW, and the end. */
  windows?: readonly number[] | null;
}

/** Where a column of NOW lies, stretch by stretch: of what was asked for, once the rows themselves are gone. */
interface Course {
  /** By stretch and bin; categories in the base's order, then those it does not have. */
  counts: Float64Array[];
  /** Rows without a value, by stretch. */
  gone: Float64Array;
  windows: WindowPart | null;
}

/** Everything but gates: rows of NOW against a base. NOW's values are let go column by column. */
export function compareSides(
  base: Side,
  nowRows: Rows,
  { alpha, bins, units = {}, windows = null }: CompareOptions,
): Omit<Drift, 'gates' | 'ok'> {
  const bases = new Map(base.features.map((profile) => [profile.name, profile]));
  const courses = new Map<string, Course>();
  const bounds = boundsOf(nowRows.rows, stretches);
  const roles = new Map<string, Profile | null>([
    [nowRows.label?.name ?? '', base.label],
    [nowRows.prediction?.name ?? '', base.prediction],
  ]);
  const now = sideOf(nowRows, {
    bins,
    look(column, profile) {
      const against = bases.get(column.name) ?? roles.get(column.name);
      if (!against || against.kind !== column.kind) return;
      courses.set(column.name, courseOf(column, profile, against, bounds, windows));
    },
  });
  const pairs = base.features.flatMap((profile) => {
    const other = now.features.find(({ name }) => name === profile.name);
    return other ? [{ base: profile, now: other }] : [];
  });
  const ignored = [...new Set([...base.ignored, ...now.ignored])].map((name) => ({
    name,
    why: 'no value of a sensor',
  }));
  const compared = pairs.flatMap((pair) => {
    const one = comparePair(pair.base, pair.now, units[pair.base.name] ?? null);
    if (one === null)
      ignored.push({ name: pair.base.name, why: 'as many words as rows: names, not categories' });
    return one ?? [];
  });
  const label = base.label && now.label && comparePair(base.label, now.label, null);
  const prediction = base.prediction && now.prediction && comparePair(base.prediction, now.prediction, null);
  const numbers = pairs.filter(({ base: b, now: n }) => b.kind === 'number' && n.kind === 'number');
  const joint = compareTogether(
    { profiles: numbers.map((pair) => pair.base as NumberProfile), takes: base.sampleTakes },
    { profiles: numbers.map((pair) => pair.now as NumberProfile), takes: now.sampleTakes },
  );
  const all = [...compared, ...(label ? [label] : []), ...(prediction ? [prediction] : [])];
  const adjusted = holm([...all.map(({ p }) => p), ...(joint ? [joint.p] : [])]);
  const finished = all.map((one, i) =>
    finish(
      one,
      adjusted[i]!,
      alpha,
      all.length + (joint ? 1 : 0),
      courses.get(one.name),
      now,
      nowRows,
      bounds,
    ),
  );
  const features = finished.slice(0, compared.length);
  const jointDrift: Joint | null = joint && {
    ...joint,
    drifted: adjusted.at(-1)! < alpha && joint.auc >= notableAuc,
  };
  const rest = finished.slice(compared.length);
  const names = (side: Side) => side.features.map(({ name }) => name);
  return {
    base: { name: base.name, from: base.from, rows: base.rows },
    now: { name: now.name, from: now.from, rows: now.rows },
    alpha,
    features,
    drifted: finished.some(({ drifted }) => drifted) || jointDrift?.drifted === true,
    label: label ? rest[0]! : null,
    prediction: prediction ? rest.at(-1)! : null,
    joint: jointDrift,
    windows: windows ? windowsOf(pairs, courses, windows, nowRows, alpha) : [],
    onlyInBase: names(base).filter((name) => !names(now).includes(name)),
    onlyInNow: names(now).filter((name) => !names(base).includes(name)),
    ignored,
    approximate: base.from === 'reference',
  };
}

function comparePair(base: Profile, now: Profile, unit: string | null): Compared | null {
  if (base.kind !== now.kind) {
    // A column with nothing in it is of no kind.
    if (now.count === 0) return comparePair(base, emptied(base.kind, now), unit);
    if (base.count === 0) return comparePair(emptied(now.kind, base), now, unit);
    return otherType(base, now, unit);
  }
  if (base.kind === 'number') return compareNumbers(base, now as NumberProfile, unit);
  const words = now as typeof base;
  return base.endless || words.endless ? null : compareWords(base, words);
}

/** Numbers became words, or the other way: nothing of the one lies where the other does. */
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
    bins: { cuts: null, words: ['a number', 'a word'], base: [number, 1 - number], now: [words, 1 - words] },
    certain: true,
    large: true,
  };
}

/** Of all tests together (Holm 1979): that any of them is called wrongly has the chance that each would have alone. */
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

function finish(
  { large, certain, limitsAt, ...one }: Compared,
  adjusted: number,
  alpha: number,
  tests: number,
  course: Course | undefined,
  now: Side,
  { time, rows }: Rows,
  bounds: number[],
): FeatureDrift {
  const drifted = certain || (large && adjusted < alpha);
  const own = now.features.find(({ name }) => name === one.name);
  let row = 0;
  if (drifted && one.reasons.includes('stuck') && own?.kind === 'number') row = own.longestRunAt;
  else if (drifted && course) row = bounds[changeIn(one, course, alpha)]!;
  return {
    ...one,
    drifted,
    reasons: !drifted ? [] : one.reasons.length > 0 ? one.reasons : ['distribution'],
    hint: drifted ? one.hint : null,
    since: drifted ? momentOf(row, rows, time, now.rateHz) : null,
    limits: limitsAt(alpha / tests),
  };
}

function changeIn(
  { reasons, bins, base, effective, now }: Omit<FeatureDrift, 'drifted' | 'since' | 'limits'>,
  course: Course,
  alpha: number,
): number {
  const pace = effective.now / Math.max(1, now.rows);
  if (reasons.length === 1 && reasons[0] === 'missing') {
    const share = base.missing / Math.max(1, base.rows);
    const present = course.counts.map((counts, s) =>
      Float64Array.of(
        counts.reduce((a, b) => a + b, 0),
        course.gone[s]!,
      ),
    );
    return changePoint(present, [1 - share, share], 1, alpha);
  }
  return changePoint(course.counts, bins.base, pace, alpha);
}

function courseOf(
  column: Rows['features'][number],
  profile: Profile,
  base: Profile,
  bounds: number[],
  windows: readonly number[] | null,
): Course {
  if (column.kind === 'number') {
    const { cuts } = base as NumberProfile;
    const part = windows && countsByStretch(column.values, cuts, windows);
    return { ...countsByStretch(column.values, cuts, bounds), windows: part };
  }
  // In the order in which two sets of words are compared.
  const known =
    base.kind === 'text' && profile.kind === 'text'
      ? [...new Set([...base.counts.keys(), ...profile.counts.keys()])]
      : [];
  const places = column.words.map((word) => known.indexOf(word));
  const of = (edges: ArrayLike<number>): WindowPart => {
    const count = edges.length - 1;
    const gone = new Float64Array(count);
    const counts = Array.from({ length: count }, (_, s) => {
      const own = new Float64Array(known.length);
      for (let i = edges[s]!; i < edges[s + 1]!; i++) {
        const code = column.codes[i]!;
        if (code >= 0 && places[code]! >= 0) own[places[code]!]!++;
        else gone[s]!++;
      }
      return own;
    });
    return { counts, gone, sums: null };
  };
  return { ...of(bounds), windows: windows && of(windows) };
}
