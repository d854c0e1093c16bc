import { describe, expect, it } from 'vitest';
import { createVote, voteAll } from '../../src/lib/model/bundle/predictor.js';
import { warningsOf } from '../../src/lib/model/evaluate/evaluate-project.js';
import { gateError, gatesFrom, limitsOf } from '../../src/lib/model/evaluate/gates.js';
import { argMaxRows, classFigures, macroF1Of, metricsOf } from '../../src/lib/model/evaluate/metrics.js';
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
    const voter = createVote(vote);
    expect(given.map((index) => voter.push(index))).toEqual(voted);
  });

  it('restarts with each recording', () => {
    expect([...voteAll([0, 0, 0, 1, 1], ['a', 'a', 'a', 'b', 'b'], 'majority:3')]).toEqual([0, 0, 0, 1, 1]);
  });

  it('always returns a class from the last N windows', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(4), { minLength: 1 }), fc.integer({ min: 1, max: 9 }), (given, n) => {
        const voter = createVote(`majority:${n}`);
        return given.every((index, i) =>
          given.slice(Math.max(0, i - n + 1), i + 1).includes(voter.push(index)),
        );
      }),
    );
  });

  it('rejects an unknown method', () => {
    expect(() => createVote('best')).toThrow('expected "none" or "majority:N", got "best"');
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
      'macro-F1: expected at least 0.98, got 0.9600; drop of macro-F1 from float to quantized: expected at most 0.005, got 0.0100; arena: expected at most 4000 bytes, got 4096',
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
      'down: measured on only 20 windows of one recording: another person or day may differ',
    ]);
  });
});
