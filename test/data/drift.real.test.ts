import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import {
  countsBetween,
  cutsOf,
  distances,
  homogeneity,
  jensenShannon,
  sharesOf,
  stabilityIndex,
} from '../../src/lib/data/drift/bins.js';
import {
  chiSquareAbove,
  kolmogorovAbove,
  kolmogorovSmirnovP,
  normalAbove,
  studentBeyond,
} from '../../src/lib/data/drift/probability.js';
import { describeReal, python } from '../support/real.js';

const program = `
import json, sys
import numpy as np
from scipy import stats
from scipy.spatial.distance import jensenshannon
out = []
for pair in json.load(sys.stdin)["pairs"]:
    a, b = np.array(pair["a"]), np.array(pair["b"])
    cuts = np.array(pair["cuts"])
    p = np.bincount(np.searchsorted(cuts, a, side="right"), minlength=len(cuts) + 1) / len(a)
    q = np.bincount(np.searchsorted(cuts, b, side="right"), minlength=len(cuts) + 1) / len(b)
    f, g = np.maximum(p, 1e-4), np.maximum(q, 1e-4)
    some = (p + q) > 0
    ks = stats.ks_2samp(a, b, method="exact" if len(a) * len(b) <= 4e6 else "asymp")
    n = np.array([p[some] * len(a), q[some] * len(b)])
    chi = stats.chi2_contingency(n, correction=False) if some.sum() > 1 else None
    out.append({
        "deciles": np.quantile(a, np.arange(1, 10) / 10).tolist(),
        "psi": float(np.sum((g - f) * np.log(g / f))), "js": float(jensenshannon(p, q)),
        "ks": float(ks.statistic), "p": float(ks.pvalue),
        "limit": float(stats.kstwobign.sf(ks.statistic * np.sqrt(len(a) * len(b) / (len(a) + len(b))))),
        "wasserstein": float(stats.wasserstein_distance(a, b)),
        "chi": [float(chi.statistic), float(chi.pvalue)] if chi else None,
    })
grid = [0.1, 0.5, 1, 2, 3, 5, 8, 20]
print(json.dumps({"pairs": out, "special": [
    [x, d, float(stats.chi2.sf(x, d)), float(2 * stats.t.sf(x, d)), float(stats.norm.sf(x)), float(stats.kstwobign.sf(x))]
    for x in grid for d in [0.5, 1, 2.5, 9, 60, 1000]]}))
`;

const sorted = (values: number[]) => Float64Array.from(values).sort();

function samples(): { a: number[]; b: number[] }[] {
  const random = seededRandom(11);
  const list = (count: number, make: () => number) => Array.from({ length: count }, make);
  const normal = () => gaussian(random);
  return [
    { a: [1, 2, 3, 4, 5], b: [2, 3, 4, 5, 6, 7] },
    { a: list(40, normal), b: list(25, () => normal() + 0.4) },
    { a: list(1000, normal), b: list(1500, () => 1.3 * normal()) },
    { a: list(5000, () => Math.exp(normal())), b: list(4000, () => Math.exp(normal()) + 0.2) },
    { a: list(3000, () => Math.round(3 * normal())), b: list(3000, () => Math.round(3 * normal() + 1)) },
    { a: list(500, () => 7), b: list(500, () => 7 + Math.round(normal())) },
    {
      a: list(2000, () => (random() < 0.6 ? 0 : normal())),
      b: list(1000, () => (random() < 0.4 ? 0 : normal())),
    },
    { a: list(300, normal), b: list(300, () => 100 + normal()) },
    { a: list(1, normal), b: list(1, normal) },
  ];
}

describeReal('har', 'drift metrics compared with SciPy', () => {
  it('match on fixed and random values', () => {
    const pairs = samples().map(({ a, b }) => ({ a, b, cuts: Array.from(cutsOf(sorted(a), 10)) }));
    const { status, stdout, stderr } = spawnSync(python('har'), ['-c', program], {
      input: JSON.stringify({ pairs }),
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    expect(status, stderr).toBe(0);
    const theirs = JSON.parse(stdout) as {
      pairs: {
        deciles: number[];
        psi: number;
        js: number;
        ks: number;
        p: number;
        limit: number;
        wasserstein: number;
        chi: [number, number] | null;
      }[];
      special: number[][];
    };
    const near = (own: number, other: number, what: string) =>
      expect(Math.abs(own - other), `${what}: ${own} here, ${other} there`).toBeLessThanOrEqual(
        1e-9 * Math.max(1, Math.abs(other)),
      );
    for (const [i, { a, b, cuts }] of pairs.entries()) {
      const other = theirs.pairs[i]!;
      const [x, y] = [sorted(a), sorted(b)];
      const [p, q] = [x, y].map((side) => sharesOf(countsBetween(side, Float64Array.from(cuts)))) as [
        number[],
        number[],
      ];
      near(stabilityIndex(p, q), other.psi, `psi ${i}`);
      near(jensenShannon(p, q), other.js, `js ${i}`);
      const { ks, wasserstein } = distances(x, y);
      near(ks, other.ks, `ks ${i}`);
      near(wasserstein, other.wasserstein, `wasserstein ${i}`);
      const exact = a.length * b.length <= 4e6;
      near(kolmogorovSmirnovP(ks, a.length, b.length), exact ? other.p : other.limit, `p ${i}`);
      if (!exact) expect(Math.abs(other.p - other.limit)).toBeLessThan(0.01);
      const { chiSquare, degrees } = homogeneity(p, q, a.length, b.length);
      if (other.chi) {
        near(chiSquare, other.chi[0], `chi ${i}`);
        near(chiSquareAbove(chiSquare, degrees), other.chi[1], `chi p ${i}`);
      }
      // If no value has its own bin, the cuts are the deciles.
      if (cuts.length === 9 && new Set(a).size === a.length)
        for (const [c, cut] of cuts.entries()) near(cut, other.deciles[c]!, `cut ${c}`);
    }
    for (const [x, degrees, chi, student, normal, kolmogorov] of theirs.special as [
      number,
      number,
      number,
      number,
      number,
      number,
    ][]) {
      near(chiSquareAbove(x, degrees), chi, `chi-square ${x} ${degrees}`);
      near(studentBeyond(x, degrees), student, `student ${x} ${degrees}`);
      near(normalAbove(x), normal, `normal ${x}`);
      near(kolmogorovAbove(x), kolmogorov, `kolmogorov ${x}`);
    }
  });
});
