import { AiotError } from '../../core/errors.js';
import { decimalOf } from '../../core/figures.js';
import { parseDuration } from '../../core/time.js';
import type { Rows, RowTimes } from '../tables/rows.js';
import { homogeneity, sharesOf, stabilityIndex } from './bins.js';
import { type Compared, notable } from './numbers.js';
import { chiSquareAbove } from './probability.js';
import { countsByStretch, type NumberProfile, type Profile } from './profile.js';
import type { DriftWindow, FeatureDrift, Since } from './result.js';

/** A column's distribution in NOW by stretch, which is still available after the rows are released. */
export interface Course {
  /** Counts by stretch and bin. For text, bins are the categories in the base's order, followed by categories missing in the base. */
  counts: Float64Array[];
  /** Rows without a value, by stretch. */
  gone: Float64Array;
  windows: WindowPart | null;
}

/** The first stretch after the change. */
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

/** Whether the distribution from a stretch onward differs from the base by enough to be relevant. */
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
  // The words are in the same order as in `compareWords`.
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

/** Maximum number of windows; no chart can show more. */
const mostWindows = 1000;

interface WindowPart {
  counts: Float64Array[];
  gone: Float64Array;
  /** Sums of the values, for numbers. */
  sums: Float64Array | null;
}

/**
 * First rows of the windows, and the end of the last one. `asked` is a number of windows of equal size (`12`), or the duration of each
 * window (`1h`).
 * @throws AIOT_USAGE (no time column, too many windows)
 */
export function windowBounds(asked: string, { rows, time, rateHz, name }: Rows): number[] {
  const count = decimalOf(asked);
  if (!Number.isNaN(count)) {
    if (Number.isInteger(count) && count >= 1 && count <= mostWindows) return boundsOf(rows, count);
    throw new AiotError('AIOT_USAGE', `--windows: expected 1 to ${mostWindows} windows, got ${asked}`);
  }
  const span = parseDuration(asked, '--windows: ') / 1000;
  const secondsAt = (row: number) =>
    time ? time.seconds[row]! : rateHz === null ? Number.NaN : row / rateHz;
  const start = secondsAt(0);
  const end = secondsAt(rows - 1);
  if (!Number.isFinite(start) || !Number.isFinite(end) || !(span > 0)) {
    throw new AiotError('AIOT_USAGE', `--windows ${asked}: ${name} has no time column`, {
      next: 'Specify it with --time, or use a number of windows.',
    });
  }
  if ((end - start) / span > mostWindows) {
    throw new AiotError(
      'AIOT_USAGE',
      `--windows ${asked}: expected at most ${mostWindows} windows, got ${Math.ceil((end - start) / span)}`,
    );
  }
  const bounds = [0];
  let last = 0;
  for (let row = 1; row < rows; row++) {
    const window = Math.floor((secondsAt(row) - start) / span);
    // If time does not advance, no new window begins. Windows without rows are omitted.
    if (window > last) {
      bounds.push(row);
      last = window;
    }
  }
  return [...bounds, rows];
}

/** Compares each window of NOW with the base, by bins. Each window and column is one test. */
export function windowsOf(
  pairs: { base: Profile; now: Profile }[],
  courses: ReadonlyMap<string, { windows: WindowPart | null }>,
  bounds: readonly number[],
  { rows, time, rateHz }: Rows,
  alpha: number,
): DriftWindow[] {
  const tests = Math.max(1, pairs.length * (bounds.length - 1));
  return Array.from({ length: bounds.length - 1 }, (_, w): DriftWindow => {
    const features = pairs.flatMap(({ base, now }) => {
      const part = courses.get(base.name)?.windows;
      return part ? [windowFeature(base, now, part, w, alpha / tests)] : [];
    });
    const moment = momentOf(bounds[w]!, rows, time, rateHz);
    return {
      row: moment.row,
      rows: bounds[w + 1]! - bounds[w]!,
      time: moment.time,
      seconds: moment.seconds,
      drifted: features.some(({ drifted }) => drifted),
      features,
    };
  });
}

function windowFeature(
  base: Profile,
  now: Profile,
  part: WindowPart,
  w: number,
  alpha: number,
): DriftWindow['features'][number] {
  const own = part.counts[w]!;
  const count = own.reduce((a, b) => a + b, 0);
  const gone = part.gone[w]!;
  const known = base.kind === 'number' ? sharesOf(base.counts) : wordShares(base, now);
  const shares = sharesOf(own);
  const missing = gone / Math.max(1, gone + count);
  const pace = base.count === 0 ? 1 : base.effective / base.count;
  const psi = count === 0 || base.count === 0 ? 0 : stabilityIndex(known, shares);
  const effective = Math.max(1, count * pace);
  const { chiSquare, degrees } = homogeneity(known, shares, Math.max(1, base.effective), effective);
  const expected = degrees * (1 / Math.max(1, base.effective) + 1 / effective);
  const moved = chiSquareAbove(chiSquare, degrees) < alpha && psi - expected >= notable.psi;
  const before = 1 - base.count / Math.max(1, base.rows);
  return {
    name: base.name,
    psi,
    mean: part.sums && count > 0 ? part.sums[w]! / count : null,
    missing,
    drifted: (count > 0 && moved) || missing - before >= 10 * notable.missing,
  };
}

function wordShares(base: Profile, now: Profile): number[] {
  if (base.kind !== 'text' || now.kind !== 'text') return [];
  const words = new Set([...base.counts.keys(), ...now.counts.keys()]);
  return [...words].map((word) => (base.counts.get(word) ?? 0) / Math.max(1, base.count));
}

/** Number of stretches into which NOW is divided. A change is located between two stretches. */
export const stretches = 256;

/** Maximum number of searches, each for a change before the last one found. */
const mostChanges = 4;

export function boundsOf(rows: number, parts: number): number[] {
  const count = Math.max(1, Math.min(parts, rows));
  return Array.from({ length: count + 1 }, (_, i) => Math.floor((i * rows) / count));
}

/**
 * Finds the stretch of NOW from which a column's distribution differs from the base's. The change is at the cut where the parts before and
 * after it differ most (χ² over the bins, based on effective sample sizes). If the earlier part does not match the base either, that part
 * is searched again. 0 = from the beginning.
 * @param counts by stretch, then by bin @param time effective rows per row
 */
function changePoint(counts: Float64Array[], base: number[], time: number, alpha: number): number {
  let end = counts.length;
  let found = 0;
  for (let i = 0; i < mostChanges; i++) {
    const cut = strongestCut(counts.slice(0, end), base, time, alpha);
    if (cut === null) return found;
    found = cut;
    end = cut;
  }
  return found;
}

/**
 * The cut with the largest difference between the parts before and after it. Null if the difference may be due to chance, or if the earlier
 * part resembles the base less than the later part.
 */
function strongestCut(counts: Float64Array[], base: number[], time: number, alpha: number): number | null {
  const bins = base.length;
  const total = new Float64Array(bins);
  for (const stretch of counts) for (let b = 0; b < bins; b++) total[b]! += stretch[b]!;
  const before = new Float64Array(bins);
  const after = total.slice();
  let best = { cut: 0, chiSquare: 0, degrees: 1 };
  for (let cut = 1; cut < counts.length; cut++) {
    for (let b = 0; b < bins; b++) {
      before[b]! += counts[cut - 1]![b]!;
      after[b]! -= counts[cut - 1]![b]!;
    }
    const [n, m] = [sum(before) * time, sum(after) * time];
    if (n === 0 || m === 0) continue;
    const { chiSquare, degrees } = homogeneity(sharesOf(before), sharesOf(after), n, m);
    if (chiSquare > best.chiSquare) best = { cut, chiSquare, degrees };
  }
  // Every cut was tested, so the p-value is multiplied by the number of cuts.
  if (chiSquareAbove(best.chiSquare, best.degrees) * counts.length > alpha) return null;
  const part = (from: number, to: number) => {
    const own = new Float64Array(bins);
    for (const stretch of counts.slice(from, to)) for (let b = 0; b < bins; b++) own[b]! += stretch[b]!;
    return stabilityIndex(base, sharesOf(own));
  };
  return part(0, best.cut) < part(best.cut, counts.length) ? best.cut : null;
}

function sum(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** The time of a row. @param row from 0 */
export function momentOf(row: number, rows: number, time: RowTimes | null, rateHz: number | null): Since {
  const told = time?.seconds[row];
  const seconds = told !== undefined && Number.isFinite(told) ? told : rateHz === null ? null : row / rateHz;
  const isDate = time?.sinceEpoch === true && told !== undefined && Number.isFinite(told);
  return {
    row: row + 1,
    share: row / rows,
    time: isDate ? new Date(told * 1000).toISOString() : null,
    seconds,
  };
}
