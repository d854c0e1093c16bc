import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { AnswerSpec } from '../../src/lib/model/bundle/types.js';
import { warningsOf } from '../../src/lib/model/evaluate/evaluate-project.js';
import { gateError, gatesFrom, limitsOf } from '../../src/lib/model/evaluate/gates.js';
import { argMaxRows, classFigures, macroF1Of, metricsOf } from '../../src/lib/model/evaluate/metrics.js';
import { bestClass, costMatrix, createVote, voteAll } from '../../src/lib/model/vote.js';
import { root } from '../support/cli.js';
import { fc } from '../support/property.js';

describe('metrics', () => {
  // The reference is scikit-learn's example of a macro F1: 0.2667 for the truth 0 1 2 0 1 2 and the
  // prediction 0 2 1 0 0 1.
  it('match scikit-learn', () => {
    const { macroF1, accuracy, confusion } = metricsOf([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], 3);
    expect(macroF1).toBeCloseTo(0.26667, 4);
    expect(accuracy).toBeCloseTo(1 / 3, 10);
    expect(confusion).toEqual([
      [2, 0, 0],
      [1, 0, 1],
      [0, 2, 0],
    ]);
  });

  it('are 0, not NaN, for classes without windows or predictions', () => {
    const [a, b] = classFigures(
      [
        [0, 0],
        [3, 0],
      ],
      ['a', 'b'],
    );
    expect(a).toEqual({ class: 'a', support: 0, precision: 0, recall: 0, f1: 0 });
    expect(b).toEqual({ class: 'b', support: 3, precision: 0, recall: 0, f1: 0 });
    expect(macroF1Of([])).toBe(0);
  });

  it('pick the first of equal outputs', () => {
    expect([...argMaxRows([1, 3, 3, 5, 5, 5], 3)]).toEqual([1, 0]);
  });
});

describe('smoothing', () => {
  it.each([
    ['none', [0, 1, 0, 2], [0, 1, 0, 2]],
    ['majority:3', [0, 0, 1, 1, 2, 0], [0, 0, 0, 1, 1, 0]],
    ['majority:4', [0, 1, 0, 1, 1, 2, 2], [0, 1, 0, 1, 1, 1, 2]],
    ['majority:1', [2, 1, 0], [2, 1, 0]],
  ])('%s turns %j into %j', (vote, given, voted) => {
    const voter = createVote(vote, { kind: 'classes' });
    expect(given.map((index) => voter.push({ index, scores: [] }))).toEqual(voted);
  });

  it('restarts with each recording', () => {
    const predicted = [0, 0, 0, 1, 1];
    const voted = voteAll([...'aaabb'], (i) => ({ index: predicted[i]!, scores: [] }), {
      ...{ vote: 'majority:3', answer: { kind: 'classes' } },
    });
    expect([...voted]).toEqual([0, 0, 0, 1, 1]);
  });

  it('always returns a class from the last N windows', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(4), { minLength: 1 }), fc.integer({ min: 1, max: 9 }), (given, n) => {
        const voter = createVote(`majority:${n}`, { kind: 'classes' });
        return given.every((index, i) =>
          given.slice(Math.max(0, i - n + 1), i + 1).includes(voter.push({ index, scores: [] })),
        );
      }),
    );
  });

  it('rejects an unknown method', () => {
    expect(() => createVote('best', { kind: 'classes' })).toThrow(
      'expected "none", "majority:N" or "average:N", got "best"',
    );
  });

  const thresholds = (minimum: number[]) => ({
    label: 'unknown',
    minimum,
    radius: [],
    center: [],
    weight: [],
  });

  it.each<[what: string, answer: AnswerSpec, windows: [index: number, scores: number[]][], voted: number[]]>([
    [
      'predicts the class with the largest mean output',
      { kind: 'classes' },
      [
        [0, [0.75, 0.25]],
        [1, [0.25, 0.75]],
        [1, [0.375, 0.625]],
        [1, [0.125, 0.875]],
      ],
      // Of two equal means, the first class wins; then 1.375 : 1.625; then 0.75 : 2.25.
      [0, 0, 1, 1],
    ],
    [
      'applies the minimum output to the mean',
      { kind: 'classes', reject: thresholds([0.5, 0.75]) },
      [
        [1, [0.125, 0.875]],
        [2, [0.375, 0.625]],
        [2, [0.5, 0.5]],
      ],
      // Means of class 1: 0.875, 0.75, 0.667.
      [1, 1, 2],
    ],
    [
      'counts a window that is far from all classes as rejected',
      { kind: 'classes', reject: thresholds([0, 0]) },
      [
        [1, [0.25, 0.75]],
        [2, [0.25, 0.75]],
        [2, [0.25, 0.75]],
        [2, [0.25, 0.75]],
      ],
      // The rejection's share is 0, then 1/2 against 0.375 for the class, and then more.
      [1, 2, 2, 2],
    ],
    [
      'minimizes the expected cost of the mean',
      { kind: 'classes', costs: [0, 1, 3, 0] },
      [
        [1, [0.625, 0.375]],
        [0, [0.875, 0.125]],
        [0, [0.75, 0.25]],
      ],
      // Class 1 is predicted from a share of more than 1/4: 0.375, then exactly 0.25, then 0.25.
      [1, 0, 0],
    ],
    [
      'applies the threshold of a probability to the mean',
      { kind: 'probability', threshold: 0.5 },
      [
        [1, [0.25, 0.75]],
        [0, [0.75, 0.25]],
        [0, [0.625, 0.375]],
      ],
      [1, 1, 0],
    ],
    [
      'applies the threshold of a reconstruction error to the mean',
      { kind: 'reconstruction', threshold: 4 },
      [
        [0, [2]],
        [1, [6]],
        [1, [5]],
      ],
      [0, 0, 1],
    ],
  ])('average:3 %s', (_, answer, windows, voted) => {
    const voter = createVote('average:3', answer);
    expect(windows.map(([index, scores]) => voter.push({ index, scores }))).toEqual(voted);
    voter.reset();
    const [index, scores] = windows[0]!;
    expect(voter.push({ index, scores })).toBe(voted[0]);
  });
});

it('average:N equals the golden sequences, which are computed by Python', async () => {
  const text = await readFile(join(root, 'firmware/test/averages.inc'), 'utf8');
  const pattern =
    /^\{(\d+), (true|false), \{(.*?)\}, (true|false), \{(.*?)\}, (\d+), \{(.*?)\}, "(\d+)", "(\d+)", "(\d+)"\},$/gm;
  const rows = [...text.matchAll(pattern)];
  expect(rows).toHaveLength(40);
  for (const row of rows) {
    const [, size, priced, prices = '', rejects, least = '', windows, outputs = ''] = row;
    const [far = '', labels = '', voted = ''] = row.slice(8);
    const numbers = (list: string) => list.split(', ').map(Number);
    const costs = priced === 'true' ? numbers(prices) : undefined;
    const minimum = numbers(least);
    const reject =
      rejects === 'true' ? { label: 'none', minimum, radius: [], center: [], weight: [] } : undefined;
    const voter = createVote(`average:${size}`, { kind: 'classes', costs, reject });
    const found = Array.from({ length: Number(windows) }, (_, w) => {
      const scores = numbers(outputs)
        .slice(3 * w, 3 * w + 3)
        .map((value) => value / 256);
      const best = bestClass(scores, costs);
      const isOut = far[w] === '1' || (reject && scores[best]! < minimum[best]!);
      const index = isOut ? 3 : best;
      return [index, voter.push({ index, scores })];
    });
    expect(found.map(([index]) => index).join('')).toBe(labels);
    expect(found.map(([, smoothed]) => smoothed).join('')).toBe(voted);
  }
});

describe('costs', () => {
  it('turn the decision toward the class that is expensive to miss, and keep it elsewhere', () => {
    const costs = costMatrix({ stop: { go: 9 } }, ['go', 'stop'])!;
    expect(costs).toEqual([0, 1, 9, 0]);
    expect([0.05, 0.0999, 0.1, 0.1001, 0.8].map((stop) => bestClass([1 - stop, stop], costs))).toEqual([
      0, 0, 0, 1, 1,
    ]);
  });

  it('are 1 for a pair that is not listed, which decides like the largest output', () => {
    const shares = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 4, maxLength: 4 });
    const costs = costMatrix({}, ['a', 'b', 'c', 'd'])!;
    fc.assert(fc.property(shares, (own) => bestClass(own, costs) === bestClass(own)));
  });

  it('of a class that does not exist are rejected', () => {
    expect(() => costMatrix({ stop: { walk: 2 } }, ['go', 'stop'])).toThrow(
      'model.costs: expected a class: go, stop; got "walk"',
    );
  });
});

describe('gates', () => {
  const figures = { macroF1: 0.96, drop: 0.01, arena: 4096 };
  const gatesOf = (accept: Parameters<typeof limitsOf>[0], of: typeof figures) =>
    gatesFrom(limitsOf(accept), of);

  it('pass a model within every limit', () => {
    const gates = gatesOf({ macroF1: 0.95, drop: 0.0101, arena: '4KiB' }, figures);
    expect(gates.map(({ passed }) => passed)).toEqual([true, true, true]);
    expect(gateError(gates)).toBeNull();
  });

  it('list every limit that is not met, with both values', () => {
    const error = gateError(gatesOf({ macroF1: 0.98, drop: 0.005, arena: 4000 }, figures));
    expect(error?.code).toBe('AIOT_GATE_FAILED');
    expect(error?.exit).toBe(6);
    expect(error?.message).toBe(
      'macro-F1: expected at least 0.98, got 0.960; drop of macro-F1 from float to quantized: expected at most 0.005, got 0.0100; arena: expected at most 3.9 KiB, got 4.0 KiB',
    );
  });

  it('show more digits of a value that would otherwise read like its limit', () => {
    const near = { macroF1: 0.97981, drop: 0.01, arena: 4097 };
    expect(gateError(gatesOf({ macroF1: 0.98, arena: 4096 }, near))?.message).toBe(
      'macro-F1: expected at least 0.98, got 0.9798; arena: expected at most 4,096 bytes, got 4,097 bytes',
    );
  });

  it.each([
    [{ macroF1: 0.98 }, /^Record more or better labeled data\. Then train again\. Change a limit/],
    [{ drop: 0.005 }, /^Record training data that covers the conditions of the devices.*\. Then train again/],
    [{ arena: 4000 }, /^Use fewer or smaller model\.layers, or a shorter signal\.window\. Then train again/],
    [{ macroF1: 0.98, arena: 4000 }, /^Record more .*\. Use fewer .*\. Then train again/],
  ])('suggest a fix for the failed limit %j', (accept, advice) => {
    expect(gateError(gatesOf(accept, figures))?.next).toMatch(advice);
  });

  it('are empty if no limit is set', () => {
    expect(gatesOf({}, figures)).toEqual([]);
  });
});

describe('warnings', () => {
  it('cover classes that are confused and classes with little data', () => {
    const confusion = [
      [60, 0, 0],
      [0, 20, 20],
      [0, 15, 5],
    ];
    const recordings = new Map([
      [0, 3],
      [1, 2],
      [2, 1],
    ]);
    expect(warningsOf(['resting', 'up', 'down'], confusion, recordings)).toEqual([
      'up and down are confused in 58 % of their windows: these recordings hardly distinguish them',
      'down: measured on only 20 windows of one recording: another machine, person or day may differ',
    ]);
  });

  it('name a class that was not measured, instead of one that is confused with it', () => {
    const confusion = [
      [30, 70],
      [0, 0],
    ];
    expect(warningsOf(['normal', 'spare'], confusion, new Map([[0, 3]]), 'rows')).toEqual([
      'spare: not measured, because none of the held-out rows has this label',
    ]);
  });
});
