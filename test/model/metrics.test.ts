import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { bootstrapInterval, pairedDifference } from '../../src/lib/model/evaluate/intervals.js';
import {
  argMaxRows,
  aucOf,
  calibrationOf,
  confusionOf,
  macroF1Of,
  sharesOf,
  valueFigures,
} from '../../src/lib/model/evaluate/metrics.js';
import { figuresOf } from '../../src/lib/model/evaluate/verdict.js';

/**
 * Park and Miller's generator. The Python script that produced the reference metrics uses the same generator and seed.
 */
function parkMiller(state = 7): () => number {
  return () => {
    state = (state * 16807) % 2147483647;
    return state / 2147483647;
  };
}

function rows(random: () => number, count: number, classes: number) {
  const truth: number[] = [];
  const scores: number[] = [];
  for (let i = 0; i < count; i++) {
    const own = Math.floor(random() * classes);
    truth.push(own);
    const row = Array.from({ length: classes }, (_, c) => random() + (c === own ? 0.35 : 0));
    const sum = row.reduce((a, b) => a + b);
    scores.push(...row.map((value) => value / sum));
  }
  return { truth, scores };
}

describe('classifier metrics', () => {
  // scikit-learn 1.x: accuracy_score, f1_score(average="macro"), roc_auc_score(multi_class="ovr", average="macro"; with
  // two classes, of the second score). The calibration error was computed from its definition with numpy.
  it('match scikit-learn for three, five, and two classes', () => {
    const random = parkMiller();
    const wanted = [
      [200, 3, [0.71, 0.7048650316974806, 0.8678035237128164, 0.20053850278183083]],
      [120, 5, [0.6166666666666667, 0.6204076629052644, 0.8515120106154788, 0.26694602276281826]],
      [150, 2, [0.7466666666666667, 0.7466216216216216, 0.8359277151547683, 0.08450252248691749]],
    ] as const;
    for (const [count, classes, [accuracy, macroF1, auc, error]] of wanted) {
      const { truth, scores } = rows(random, count, classes);
      const names = Array.from({ length: classes }, (_, c) => `class ${c}`);
      const got = figuresOf({ truth, scores, predicted: argMaxRows(scores, classes), classes: names });
      expect(got.n).toBe(count);
      expect(got.accuracy).toBeCloseTo(accuracy, 12);
      expect(got.macroF1).toBeCloseTo(macroF1, 12);
      expect(got.auc).toBeCloseTo(auc, 12);
      expect(got.calibrationError).toBeCloseTo(error, 12);
      const { macroF1: f, auc: u } = got.intervals;
      for (const [value, interval] of [
        [accuracy, got.interval],
        [macroF1, f],
        [auc, u],
      ] as const) {
        expect(interval![0]).toBeLessThan(value);
        expect(interval![1]).toBeGreaterThan(value);
      }
    }
    const [truth, score] = [[] as number[], [] as number[]];
    for (let i = 0; i < 100; i++) {
      truth.push(random() > 0.5 ? 1 : 0);
      score.push(Math.floor(random() * 5) + truth[i]!);
    }
    expect(aucOf(score, (row) => truth[row] === 1)).toBeCloseTo(0.7726, 12);
    const values = Array.from({ length: 50 }, () => random() * 10);
    const predicted = values.map((value) => value + random() - 0.4);
    const errors = valueFigures(values, predicted);
    expect(errors.mae).toBeCloseTo(0.24441322350334993, 12);
    expect(errors.rmse).toBeCloseTo(0.2901013826705822, 12);
    expect(errors.r2).toBeCloseTo(0.9860253964687524, 12);
  });

  it('have no AUC for a single class, and no interval for a single group', () => {
    const got = figuresOf({
      truth: [1, 1],
      predicted: [1, 0],
      scores: [0.2, 0.8, 0.7, 0.3],
      classes: ['a', 'b'],
      groups: ['r', 'r'],
    });
    expect(got).toMatchObject({ auc: null, accuracy: 0.5 });
    expect(got.intervals).toEqual({ macroF1: null, auc: null });
  });

  it('have wider intervals by recording than by window if windows in a recording are alike', () => {
    const truth = Array.from({ length: 200 }, (_, i) => i % 2);
    // The predictions are either all right or all wrong for each recording of ten windows.
    const predicted = truth.map((c, i) => (Math.floor(i / 10) % 4 === 0 ? 1 - c : c));
    const scores = predicted.flatMap((c) => [1 - c, c]);
    const groups = truth.map((_, i) => `r${Math.floor(i / 10)}`);
    const judged = { truth, predicted, scores, classes: ['a', 'b'] };
    const width = ([low, high]: [number, number]) => high - low;
    const byRow = figuresOf(judged);
    const byRecording = figuresOf({ ...judged, groups });
    expect(width(byRecording.interval)).toBeGreaterThan(2 * width(byRow.interval));
    expect(width(byRecording.intervals.macroF1!)).toBeGreaterThan(2 * width(byRow.intervals.macroF1!));
    expect(figuresOf(judged)).toEqual(byRow);
  });
});

describe('the interval of macro-F1', () => {
  it('contains the true value although a class has only three recordings', () => {
    const random = seededRandom(5);
    const classes = ['a', 'b', 'c'];
    let [inside, resampledInside, count] = [0, 0, 0];
    for (let i = 0; i < 60; i++) {
      // Each recording of 30 windows has its own error rate, 0.15 on average.
      const [truth, predicted, groups]: [number[], number[], string[]] = [[], [], []];
      for (let r = 0; r < 9; r++) {
        const rate = random() < 0.5 ? 0.05 : 0.25;
        for (let w = 0; w < 30; w++) {
          const c = r % 3;
          truth.push(c);
          predicted.push(random() < rate ? (c + 1 + Math.floor(random() * 2)) % 3 : c);
          groups.push(`r${r}`);
        }
      }
      const scores = predicted.flatMap((p) => classes.map((_, c) => Number(c === p)));
      const { macroF1 } = figuresOf({ truth, predicted, scores, classes, groups }).intervals;
      const f1 = (weights: Float64Array) => macroF1Of(confusionOf(truth, predicted, 3, weights));
      const resampled = bootstrapInterval(truth.length, groups, f1, { strata: truth });
      const contains = (interval: [number, number] | null) =>
        Number(interval![0] <= 0.85 && 0.85 <= interval![1]);
      inside += contains(macroF1);
      resampledInside += contains(resampled);
      count++;
    }
    expect(inside / count).toBeGreaterThanOrEqual(0.9);
    expect(inside).toBeGreaterThan(resampledInside);
  });
});

describe('calibration', () => {
  it('is 0 if confidence equals accuracy, and otherwise their difference', () => {
    const confidence = [0.5, 0.5, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9];
    expect(
      calibrationOf(
        confidence.length,
        (row) => confidence[row]!,
        (row) => row !== 0 && row !== 2,
      ).error,
    ).toBeCloseTo(0, 12);
    expect(
      calibrationOf(
        4,
        () => 1,
        (row) => row < 2,
      ).error,
    ).toBeCloseTo(0.5, 12);
    expect(
      calibrationOf(
        0,
        () => 1,
        () => true,
      ).error,
    ).toBeNull();
  });

  it('applies softmax to logits, and uses probabilities unchanged', () => {
    expect([...sharesOf([0.25, 0.75], 2)]).toEqual([0.25, 0.75]);
    const [a, b] = sharesOf([1000, 1000 + Math.log(3)], 2);
    expect(a).toBeCloseTo(0.25, 12);
    expect(b).toBeCloseTo(0.75, 12);
  });
});

describe('two models on the same rows', () => {
  // scipy.stats.binomtest(5, 20) and (10, 12).
  it.each([
    [5, 15, 0.04138946533203125],
    [10, 2, 0.03857421875],
    [0, 0, 1],
  ])('%i and %i rows right in only one model give p = %f', (a, b, p) => {
    const kind = (row: number) => (row < a ? 'a' : row < a + b ? 'b' : 'both');
    const got = pairedDifference(
      100,
      (row) => kind(row) !== 'b',
      (row) => kind(row) !== 'a',
    );
    expect(got.p).toBeCloseTo(p, 12);
    expect(got).toMatchObject({ onlyARight: a, onlyBRight: b, bothRight: 100 - a - b, bothWrong: 0 });
    expect(got.difference).toBeCloseTo((b - a) / 100, 12);
    expect(got.interval[0]).toBeLessThan(got.difference + 1e-9);
    expect(got.interval[1]).toBeGreaterThan(got.difference - 1e-9);
  });

  it('get the Agresti–Min interval', () => {
    // Their adjusted formula, calculated by hand, for the cells 53, 8 and 16, 43 of 120; n* = 122, (16.5 − 8.5) / 122 ±
    // …
    const cells = [...'a'.repeat(53), ...'A'.repeat(8), ...'B'.repeat(16), ...'n'.repeat(43)];
    const got = pairedDifference(
      120,
      (row) => 'aA'.includes(cells[row]!),
      (row) => 'aB'.includes(cells[row]!),
    );
    const middle = 8 / 122;
    const half = (1.959964 / 122) * Math.sqrt(16.5 + 8.5 - 64 / 122);
    expect(got.interval[0]).toBeCloseTo(middle - half, 12);
    expect(got.interval[1]).toBeCloseTo(middle + half, 12);
  });
});

describe('bootstrapping', () => {
  it('is seeded, and gives the expected interval for a mean', () => {
    const values = Array.from({ length: 400 }, (_, i) => i % 2);
    const mean = (weights: Float64Array) =>
      values.reduce((sum, value, i) => sum + value * weights[i]!, 0) / weights.reduce((a, b) => a + b);
    const [low, high] = bootstrapInterval(400, undefined, mean)!;
    expect(bootstrapInterval(400, undefined, mean)).toEqual([low, high]);
    // 0.5 ± 1.96 · 0.5 / √400
    expect(low).toBeCloseTo(0.451, 1.5);
    expect(high).toBeCloseTo(0.549, 1.5);
  });
});
