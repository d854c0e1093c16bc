/**
 * Maximum number of values that are analyzed individually. Longer series are divided into at most this many stretches, whose means are
 * analyzed.
 */
const mostPoints = 4096;

/** Minimum number of stretches on a level. With fewer, the variation between them cannot be estimated. */
const fewestPoints = 16;

/** Number of stretches that are merged into one on the next level. */
const step = 4;

export interface Pace {
  /**
   * Integrated autocorrelation time, in samples, at least 1: this many neighboring values carry as much information as one independent
   * value.
   */
  time: number;
  /**
   * Degrees of freedom of this estimate: the number of independent stretches on which it is based, minus one. Tests that use the estimate
   * are based on Student's distribution.
   */
  degrees: number;
}

/**
 * Estimates how slowly a series moves, on several levels: the values, then means of ever longer stretches. On each level, the time is the
 * variance of the means, relative to that of independent values, times 1 + 2 Σ ρ_k. The sum ends where the sum of two neighboring ρ is no
 * longer positive (Geyer's initial positive sequence, 1992). Slow wandering below strong noise is visible only on coarse levels. A coarser
 * level is used if its time is larger by more than that time's uncertainty.
 */
export function paceOf(values: Float64Array): Pace {
  const { length } = values;
  if (length < 4) return { time: 1, degrees: Math.max(1, length - 1) };
  const stretch = Math.ceil(length / mostPoints);
  let { means, variance } = meansOf(values, stretch);
  if (variance === 0) return { time: 1, degrees: length - 1 };
  let size = stretch;
  let best: Pace | null = null;
  for (;;) {
    const count = means.length;
    let own = 0;
    for (const value of means) own += value * value;
    const slow = 1 + 2 * positiveSequence(means, own);
    const time = size * (own / count / variance) * slow;
    const degrees = Math.max(1, (count * (stretch > 1 && size === stretch ? stretch : 1)) / slow - 1);
    const doubt = 1 + Math.sqrt(2 / degrees);
    if (best === null || time > best.time * doubt) best = { time, degrees };
    if (count / step < fewestPoints) break;
    means = joined(means);
    size *= step;
  }
  return { time: Math.min(length, Math.max(1, best.time)), degrees: best.degrees };
}

/** Centered means of stretches, and the variance of the values; 0 if all values are equal. */
function meansOf(values: Float64Array, stretch: number): { means: Float64Array; variance: number } {
  const count = Math.floor(values.length / stretch);
  const means = new Float64Array(count);
  let sum = 0;
  let squares = 0;
  for (let b = 0; b < count; b++) {
    let part = 0;
    for (let i = b * stretch; i < (b + 1) * stretch; i++) {
      const value = values[i]!;
      part += value;
      squares += value * value;
    }
    means[b] = part / stretch;
    sum += part;
  }
  const mean = sum / (count * stretch);
  const variance = squares / (count * stretch) - mean * mean;
  for (let b = 0; b < count; b++) means[b]! -= mean;
  return { means, variance: variance > 1e-12 * (mean * mean + variance) ? variance : 0 };
}

function joined(means: Float64Array): Float64Array {
  const out = new Float64Array(Math.floor(means.length / step));
  for (let i = 0; i < out.length; i++) {
    for (let j = 0; j < step; j++) out[i]! += means[i * step + j]! / step;
  }
  return out;
}

/** Σ ρ_k for k ≥ 1, of centered values. */
function positiveSequence(values: Float64Array, own: number): number {
  const n = values.length;
  if (own === 0) return 0;
  const rho = (lag: number) => {
    let sum = 0;
    for (let i = lag; i < n; i++) sum += values[i]! * values[i - lag]!;
    return sum / own;
  };
  let total = 0;
  // Lags are added in pairs, because the signs of even and odd lags may alternate.
  for (let lag = 1; lag + 1 < n; lag += 2) {
    const pair = rho(lag) + rho(lag + 1);
    if (pair <= 0) break;
    total += pair;
  }
  return total;
}

/**
 * The pace of a series after its largest step in level is removed. A step is a single change, but would look like very slow movement.
 * @param other buffer of the same length
 */
export function paceWithoutStep(values: Float64Array, other: Float64Array): Pace {
  const { length } = values;
  if (length < 2 * fewestPoints) return paceOf(values);
  const stretch = Math.ceil(length / mostPoints);
  const { means } = meansOf(values, stretch);
  const count = means.length;
  let best = { cut: 0, between: 0, sum: 0 };
  let before = 0;
  // Means are centered, so the parts before and after a cut sum to zero.
  for (let cut = 1; cut < count; cut++) {
    before += means[cut - 1]!;
    const between = (before * before) / cut + (before * before) / (count - cut);
    if (between > best.between) best = { cut, between, sum: before };
  }
  if (best.cut === 0) return paceOf(values);
  const at = best.cut * stretch;
  const [low, high] = [best.sum / best.cut, -best.sum / (count - best.cut)];
  for (let i = 0; i < length; i++) other[i] = values[i]! - (i < at ? low : high);
  return paceOf(other);
}

/** NOW's pace with its largest step removed, if NOW's autocorrelation time clearly exceeds the base's; otherwise the base's pace. */
export function slowerPace(base: Pace, now: Pace): Pace {
  return now.time > base.time * (1 + Math.sqrt(2 / now.degrees)) ? now : base;
}
