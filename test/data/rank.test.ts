import { describe, expect, it } from 'vitest';
import { groupFolds, trainDiscriminant } from '../../src/lib/data/features/discriminant.js';
import { anovaOfMeans, mutualInformation, rankFeatures } from '../../src/lib/data/features/rank.js';

describe('ranking features', () => {
  it('computes the F statistic of a textbook example', () => {
    // The example in Wikipedia, "One-way analysis of variance": F = 42 / 4.5 = 9.3 with 2 and 15 degrees of
    // freedom.
    const groups = [
      [6, 8, 4, 5, 3, 4],
      [8, 12, 9, 11, 6, 8],
      [13, 9, 11, 8, 7, 12],
    ];
    const values = Float64Array.from(groups.flat());
    const classes = groups.flatMap((group, c) => group.map(() => c));
    const each = classes.map((_, i) => `r${i}`);
    expect(anovaOfMeans(values, each, classes, 3)).toBeCloseTo(42 / 4.53333, 3);
  });

  it('treats the windows of a recording as one sample', () => {
    const values = Float64Array.from([1, 1.2, 3, 3.4, 9, 9, 12, 12]);
    const groups = ['a', 'a', 'b', 'b', 'c', 'c', 'd', 'd'];
    const means = Float64Array.from([1.1, 3.2, 9, 12]);
    expect(anovaOfMeans(values, groups, [0, 0, 0, 0, 1, 1, 1, 1], 2)).toBeCloseTo(
      anovaOfMeans(means, ['a', 'b', 'c', 'd'], [0, 0, 1, 1], 2),
      9,
    );
  });

  it('measures full, half, and no information in bits', () => {
    const n = 400;
    const classes = Array.from({ length: n }, (_, i) => i % 4);
    const told = (of: (c: number, i: number) => number) =>
      mutualInformation(
        Float64Array.from(classes, (c, i) => of(c, i)),
        classes,
        4,
      );
    expect(told((c) => c)).toBeCloseTo(2, 6);
    expect(told((c) => c >> 1)).toBeCloseTo(1, 6);
    expect(told(() => 5)).toBe(0);
  });

  it('keeps the rows of a group in one fold, and spreads each label over the folds', () => {
    const groups = Array.from({ length: 60 }, (_, i) => `g${i % 12}`);
    const labels = Array.from({ length: 60 }, (_, i) => (i % 12 < 6 ? 0 : 1));
    const folds = groupFolds(groups, labels, 3, 1);
    for (const group of new Set(groups)) {
      expect(new Set([...folds].filter((_, i) => groups[i] === group)).size).toBe(1);
    }
    for (const label of [0, 1]) {
      const own = [...folds].filter((_, i) => labels[i] === label);
      expect([0, 1, 2].map((fold) => own.filter((f) => f === fold).length)).toEqual([10, 10, 10]);
    }
  });

  it('separates two classes by a line if one feature of a hundred is informative', () => {
    const rows = Array.from({ length: 80 }, (_, r) =>
      Float64Array.from(
        { length: 100 },
        (__, f) => Math.sin(r * 7919 + f * 104729) + (f === 3 ? (r % 2) * 6 : 0),
      ),
    );
    const probe = trainDiscriminant(
      rows.slice(0, 60),
      Array.from({ length: 60 }, (_, r) => r % 2),
      2,
      0.5,
    );
    const right = rows.slice(60).filter((row, i) => probe.classOf(row) === i % 2).length;
    expect(right).toBeGreaterThanOrEqual(18);
  });

  it('ranks the most informative feature first, with reproducible results', () => {
    const names = ['noise', 'tells', 'constant'];
    const rows = Array.from({ length: 120 }, (_, r) =>
      Float64Array.from([Math.sin(r * r), (Math.floor(r / 10) % 2) + 0.1 * Math.cos(r), 1]),
    );
    const labels = rows.map((_, r) => (Math.floor(r / 10) % 2 ? 'on' : 'off'));
    const recordings = rows.map((_, r) => `r${Math.floor(r / 10)}`);
    const table = { names, rows, recordings, labels };
    const ranking = rankFeatures(table);
    expect(ranking).toEqual(rankFeatures(table));
    expect(ranking.features[0]).toMatchObject({ name: 'tells', information: expect.closeTo(1, 6) });
    expect(ranking.features[0]!.importance).toBeGreaterThan(0.3);
    expect(ranking.accuracy).toBe(1);
    expect(ranking.features.find(({ name }) => name === 'constant')).toMatchObject({
      information: 0,
      f: 0,
      importance: 0,
    });
  });
});
