import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { proportionOf } from '../../src/lib/model/evaluate/intervals.js';
import { describeReal, python } from '../support/real.js';

/**
 * Computes the intraclass correlation of the shares in groups from statsmodels' cluster-robust variance of their mean,
 * and Wilson's interval.
 */
const judge = `
import json, sys
import numpy as np
import statsmodels.api as sm
from statsmodels.stats.proportion import proportion_confint
out = []
for case in json.load(sys.stdin):
    right, groups = np.array(case["right"], float), np.array(case["groups"])
    n = len(right)
    wilson = proportion_confint(right.sum(), n, method="wilson")
    fit = sm.OLS(right, np.ones(n)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    effect = float(fit.bse[0] ** 2) / (right.mean() * (1 - right.mean()) / n)
    out.append({"wilson": wilson, "effect": effect})
print(json.dumps(out))
`;

describeReal('har', 'confidence intervals of proportions, compared with statsmodels', () => {
  const sizes = [[10, 10, 10, 10], [3, 25, 12, 8, 8], Array.from({ length: 20 }, (_, g) => 5 + (g % 7))];
  const cases = sizes.flatMap((rows, s) =>
    [0.1, 0.35].map((wrong) => {
      const groups = rows.flatMap((count, g) => Array.from({ length: count }, () => g));
      // The errors are clustered in some groups.
      const right = groups.map((g, row) =>
        Number((row * 7 + 3 * s) % 10 >= 10 * wrong + (g % 3 === 0 ? 2 : -1)),
      );
      return { groups, right };
    }),
  );
  it('match for independent rows, and have the same variance for grouped ones', () => {
    const told = JSON.parse(
      execFileSync(python('har'), ['-c', judge], { input: JSON.stringify(cases), encoding: 'utf8' }),
    ) as { wilson: [number, number]; effect: number }[];
    for (const [i, { groups, right }] of cases.entries()) {
      const { wilson, effect } = told[i]!;
      const isRight = (row: number) => right[row] === 1;
      const plain = proportionOf(right.length, isRight).interval;
      expect(plain[0]).toBeCloseTo(wilson[0], 10);
      expect(plain[1]).toBeCloseTo(wilson[1], 10);
      const names = groups.map(String);
      const counts = new Map<string, [rows: number, right: number]>();
      names.forEach((name, row) => {
        const [rows, own] = counts.get(name) ?? [0, 0];
        counts.set(name, [rows + 1, own + right[row]!]);
      });
      const all = [...counts.values()];
      const size = all.reduce((sum, [rows]) => sum + rows * rows, 0) / right.length;
      const shown = Math.min(
        all.filter(([rows, own]) => own < rows).length,
        all.filter(([, own]) => own > 0).length,
      );
      const observed = Math.min(1, Math.max(0, (effect - 1) / (size - 1)));
      const likeness = (1 + (shown - 1) * observed) / (2 + shown - 1);
      const got = proportionOf(right.length, isRight, names);
      expect(got.effectiveRows).toBeCloseTo(right.length / (1 + (size - 1) * likeness), 8);
    }
  });
});
