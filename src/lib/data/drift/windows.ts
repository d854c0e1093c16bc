import { AiotError, decimalOf, parseDuration } from '../../core/index.js';
import type { Rows } from '../rows/types.js';
import { sharesOf } from './bins.js';
import { notable } from './compare-numbers.js';
import { homogeneity, stabilityIndex } from './math/distances.js';
import { chiSquareAbove } from './math/special.js';
import type { Profile } from './profile.js';
import type { DriftWindow } from './result.js';
import { boundsOf, momentOf } from './since.js';

/** More than any picture can show. */
const mostWindows = 1000;

export interface WindowPart {
  counts: Float64Array[];
  gone: Float64Array;
  /** Sums of the values, of numbers. */
  sums: Float64Array | null;
}

/**
 * First rows of windows, and the end: so many of equal size (`12`), or of a span of time (`1h`).
 * @throws AIOT_USAGE (no time column, too many windows)
 */
export function windowBounds(asked: string, { rows, time, rateHz, name }: Rows): number[] {
  const count = decimalOf(asked);
  if (!Number.isNaN(count)) {
    if (Number.isInteger(count) && count >= 1 && count <= mostWindows) return boundsOf(rows, count);
    throw new AiotError('AIOT_USAGE', `--windows: expected 1 to ${mostWindows} windows, got ${asked}`);
  }
  const span = parseDuration(asked) / 1000;
  const secondsAt = (row: number) =>
    time ? time.seconds[row]! : rateHz === null ? Number.NaN : row / rateHz;
  const start = secondsAt(0);
  const end = secondsAt(rows - 1);
  if (!Number.isFinite(start) || !Number.isFinite(end) || !(span > 0)) {
    throw new AiotError('AIOT_USAGE', `--windows ${asked}: ${name} has no column of times`, {
      next: 'Name it with --time, or give a number of windows.',
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
    // Where time stands still or goes back, no window begins; one that no row fell into is none.
    if (window > last) {
      bounds.push(row);
      last = window;
    }
  }
  return [...bounds, rows];
}

/** Each window of NOW against the base, by its bins: as many tests as windows and columns. */
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
