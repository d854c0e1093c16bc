import { describe, expect, it } from 'vitest';
import { shareText } from '../../src/lib/core/figures.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { proportionOf } from '../../src/lib/model/evaluate/intervals.js';

/** Rows in groups of the given sizes, with the given numbers of correct rows. */
function grouped(groups: readonly { rows: number; right: number }[]) {
  const names = groups.flatMap(({ rows }, g) => Array.from({ length: rows }, () => `recording ${g}`));
  const isRight = groups.flatMap(({ rows, right }) => Array.from({ length: rows }, (_, i) => i < right));
  return proportionOf(names.length, (row) => isRight[row]!, names);
}

const twelve = (wrong: number[]) =>
  grouped(Array.from({ length: 12 }, (_, g) => ({ rows: 10, right: 10 - (wrong[g] ?? 0) })));

describe('the confidence interval of a proportion', () => {
  // Wilson's interval for 9 of 10, as in Brown, Cai and DasGupta (2001): 0.596 to 0.982.
  it.each([
    [9, 10, 0.5958, 0.9821],
    [20, 20, 0.8389, 1],
    [0, 20, 0, 0.1611],
    [0, 0, 0, 1],
  ])('for %i correct of %i independent rows spans %f to %f', (right, rows, low, high) => {
    const { interval, groups } = proportionOf(rows, (row) => row < right);
    expect(interval[0]).toBeCloseTo(low, 3);
    expect(interval[1]).toBeCloseTo(high, 3);
    expect(groups).toBeNull();
  });

  it('is the same if each row is its own recording', () => {
    const each = Array.from({ length: 30 }, (_, i) => `recording ${i}`);
    expect(proportionOf(30, (row) => row > 2, each)).toEqual(proportionOf(30, (row) => row > 2));
  });

  it('is limited by the number of recordings if every window is right', () => {
    const all = twelve([]);
    expect(all.share).toBe(1);
    expect(all.groups).toBe(12);
    expect(all.effectiveRows).toBeCloseTo(120 / 5.5, 9);
    expect(all.interval[0]).toBeCloseTo(0.8503, 3);
    expect(all.interval[1]).toBe(1);
    // Ten times as many windows from the same recordings add little information, but ten times as many recordings add a
    // lot.
    const longer = grouped(Array.from({ length: 12 }, () => ({ rows: 100, right: 100 })));
    expect(longer.interval[0]).toBeLessThan(all.interval[0] + 0.02);
    const more = grouped(Array.from({ length: 120 }, () => ({ rows: 10, right: 10 })));
    expect(more.interval[0]).toBeGreaterThan(0.98);
  });

  it('is wide for a single recording', () => {
    expect(grouped([{ rows: 40, right: 40 }]).interval[0]).toBeLessThan(0.4);
  });

  it('has a lower bound that falls with each error, and further if errors cluster', () => {
    const low = (wrong: number[]) => twelve(wrong).interval[0];
    expect(low([1])).toBeLessThan(low([]));
    expect(low([2])).toBeLessThan(low([1]));
    expect(low([10, 10])).toBeLessThan(low([4, 4, 4, 4, 4]));
  });

  // Groups of 4 to 16 rows with beta-distributed shares. The true value is inside the interval about 95 times in 100.
  it('covers the truth about 95 times in 100, unlike Wilson’s interval for independent rows', () => {
    const random = seededRandom(11);
    const coverage: number[] = [];
    const naive: number[] = [];
    for (const groups of [5, 12, 35]) {
      for (const share of [0.8, 0.95, 0.98]) {
        for (const likeness of [0.05, 0.3, 0.6]) {
          const draws = 300;
          let [inside, insideNaive] = [0, 0];
          for (let draw = 0; draw < draws; draw++) {
            const drawn = Array.from({ length: groups }, () => {
              const rows = 4 + Math.floor(13 * random());
              return { rows, right: urn(rows, share, likeness, random) };
            });
            const of = grouped(drawn);
            const rows = drawn.reduce((sum, group) => sum + group.rows, 0);
            const plain = proportionOf(rows, (row) => row < Math.round(of.share * rows));
            if (of.interval[0] <= share && share <= of.interval[1]) inside++;
            if (plain.interval[0] <= share && share <= plain.interval[1]) insideNaive++;
          }
          coverage.push(inside / draws);
          naive.push(insideNaive / draws);
        }
      }
    }
    const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    expect(mean(coverage)).toBeGreaterThan(0.93);
    expect(mean(coverage)).toBeLessThan(0.985);
    expect(Math.min(...coverage)).toBeGreaterThan(0.86);
    expect(mean(naive)).toBeLessThan(0.85);
    expect(Math.min(...naive)).toBeLessThan(0.7);
  });
});

/** Pólya's urn, which draws beta-binomial rows with the correlation `likeness`. */
function urn(rows: number, share: number, likeness: number, random: () => number): number {
  const mass = (1 - likeness) / likeness;
  let right = 0;
  for (let drawn = 0; drawn < rows; drawn++) if (random() < (mass * share + right) / (mass + drawn)) right++;
  return right;
}

describe('the accuracy summary', () => {
  it.each([
    [
      { share: 1, cases: 113, unit: 'window', groups: 12, interval: [0.849, 1] },
      '100 % of 113 windows in 12 recordings (95 %: 84.9–100)',
    ],
    [
      { share: 0.98214, cases: 1, unit: 'window', groups: 1, interval: null },
      '98.2 % of 1 window in 1 recording',
    ],
    [
      { share: 0.5, cases: 2024, unit: 'row', groups: 3, interval: [0.4, 0.6] },
      '50 % of 2,024 rows in 3 groups (95 %: 40–60)',
    ],
    [
      { share: 0.5, cases: 20, unit: 'row', groups: null, interval: [0.4, 0.6] },
      '50 % of 20 rows (95 %: 40–60)',
    ],
  ] as const)('renders %o as %s', (of, text) => {
    expect(shareText(of)).toBe(text);
  });
});
