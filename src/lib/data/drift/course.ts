import type { Rows } from '../rows/types.js';
import { sharesOf } from './bins.js';
import { type Compared, notable } from './compare-numbers.js';
import { stabilityIndex } from './math/distances.js';
import { countsByStretch, type NumberProfile, type Profile } from './profile.js';
import type { FeatureDrift } from './result.js';
import { changePoint } from './since.js';
import type { WindowPart } from './windows.js';

/** Where a column of NOW lies, stretch by stretch: of what was asked for, once the rows themselves are gone. */
export interface Course {
  /** By stretch and bin; categories in the base's order, then those it does not have. */
  counts: Float64Array[];
  /** Rows without a value, by stretch. */
  gone: Float64Array;
  windows: WindowPart | null;
}

/** Stretch from which on it lies otherwise. */
export function changeIn(
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

/** Whether the part from a stretch on lies so far from the base that somebody would act on it. */
export function largeSince(
  { bins, effective }: Pick<Compared, 'bins' | 'effective'>,
  { counts }: Course,
  cut: number,
): boolean {
  const own = new Float64Array(bins.base.length);
  let rows = 0;
  counts.forEach((stretch, s) => {
    for (let b = 0; b < own.length; b++) {
      if (s >= cut) own[b]! += stretch[b]!;
      rows += stretch[b]!;
    }
  });
  const part = own.reduce((sum, count) => sum + count, 0) / Math.max(1, rows);
  const expected = (own.length - 1) * (1 / effective.base + 1 / Math.max(1, effective.now * part));
  return part > 0 && stabilityIndex(bins.base, sharesOf(own)) - expected >= notable.psi;
}

export function courseOf(
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
