import type { RowTimes } from '../rows/types.js';
import { sharesOf } from './bins.js';
import { homogeneity, stabilityIndex } from './math/distances.js';
import { chiSquareAbove } from './math/special.js';
import type { Since } from './result.js';

/** Stretches of NOW that a change is looked for between. */
export const stretches = 256;
/** How often a change is looked for before one that was found. */
const mostChanges = 4;

export function boundsOf(rows: number, parts: number): number[] {
  const count = Math.max(1, Math.min(parts, rows));
  return Array.from({ length: count + 1 }, (_, i) => Math.floor((i * rows) / count));
}

/**
 * Stretch of NOW from which on a column lies otherwise than the base: the cut at which the two sides differ most (χ² over the bins, by
 * effective counts); where the part before is no base either, the change is looked for in it again. 0 = from the beginning on.
 * @param counts by stretch, and by bin in it @param time effective rows per row
 */
export function changePoint(counts: Float64Array[], base: number[], time: number, alpha: number): number {
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

/** null when there is no change that chance does not make, or not one away from the base. */
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
  // Every cut was tried: as many tests.
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

/** What a row is in time. @param row from 0 */
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
