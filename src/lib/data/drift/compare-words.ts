import { type Compared, effectiveNow, notable } from './compare-numbers.js';
import { homogeneity, jensenShannon, stabilityIndex } from './math/distances.js';
import { chiSquareAbove, normalAbove, quantileAbove, widened } from './math/special.js';
import type { TextProfile } from './profile.js';
import type { Reason } from './result.js';

/** Two columns of categories: χ² of their shares, and categories that the base does not have. */
export function compareWords(base: TextProfile, now: TextProfile): Compared {
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
    // That the base would have shown none of them, were they as frequent there.
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
