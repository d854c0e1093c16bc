import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import {
  type HeardStream,
  judged,
  thresholdsFor,
  wordlessSeconds,
} from '../../src/lib/model/evaluate/stream.js';

// Windows of 1 s, one every 0.2 s; window w ends at 1 + 0.2 w seconds.
const signal = {
  ...{ fields: ['sound'], rateHz: 1000, lowpassHz: null, resampleHz: 1000 },
  ...{ windowSamples: 1000, strideSamples: 200, features: 'raw' as const },
};
const rules = { signal, background: 0, vote: 'none' };
/** Predictions of 20 windows: the background, except in these ranges. */
const said = (...ranges: [of: number, from: number, to: number][]) => {
  const all = new Int32Array(20);
  for (const [of, from, to] of ranges) all.fill(of, from, to);
  return all;
};
const word = { of: 1, from: 2, to: 2.5 };

describe('detections in a stream', () => {
  it.each([
    ['are right during a word', said([1, 6, 9]), [{ of: 1, kind: 'detected' }]],
    ['are right while the word is in the window', said([1, 12, 14]), [{ of: 1, kind: 'detected' }]],
    ['are false alarms before it', said([1, 3, 5]), [{ of: 1, kind: 'falseAlarms' }]],
    ['are false alarms after it has left the window', said([1, 13, 15]), [{ of: 1, kind: 'falseAlarms' }]],
    ['are of another word while a word is heard', said([2, 7, 9]), [{ of: 2, kind: 'confused' }]],
    ['do not count twice for one word', said([1, 6, 7], [1, 8, 9]), [{ of: 1, kind: 'detected' }]],
    ['are missing if the prediction never changes', said(), []],
  ])('%s', (_, smoothed, expected) => {
    expect(judged(smoothed, [word], rules)).toEqual(expected);
  });

  it('may be delayed by the smoothing length', () => {
    const late = said([1, 13, 15]);
    expect(judged(late, [word], { ...rules, vote: 'majority:3' })).toEqual([{ of: 1, kind: 'detected' }]);
  });

  it('may be late for a model with state, whose window is shorter than a word', () => {
    const late = said([1, 15, 17]);
    const [detected, falseAlarm] = [
      { of: 1, kind: 'detected' },
      { of: 1, kind: 'falseAlarms' },
    ];
    expect(judged(late, [word], rules)).toEqual([falseAlarm]);
    expect(judged(late, [word], { ...rules, lateSeconds: 1 })).toEqual([detected]);
    expect(judged(said([1, 18, 19]), [word], { ...rules, lateSeconds: 1 })).toEqual([falseAlarm]);
    // The next word may begin before the first one has left the reach.
    const words = [word, { of: 1, from: 3.2, to: 3.6 }];
    expect(judged(said([1, 9, 10], [1, 13, 14]), words, { ...rules, lateSeconds: 1 })).toEqual([
      detected,
      detected,
    ]);
  });

  it('count each word, even if two are close together', () => {
    const words = [word, { of: 2, from: 2.6, to: 3 }];
    expect(judged(said([1, 6, 9], [2, 9, 12]), words, rules)).toEqual([
      { of: 1, kind: 'detected' },
      { of: 2, kind: 'detected' },
    ]);
  });
});

describe('the time in which a detection would be a false alarm', () => {
  it.each([
    ['is the whole minute without words', [], {}, 60],
    ['excludes the recording of a word and the window after it', [word], {}, 58.5],
    ['excludes the smoothing and the lateness after it', [word], { vote: 'average:3', lateSeconds: 1 }, 57.1],
    ['excludes overlapping times once', [word, { of: 2, from: 3, to: 4 }], {}, 57],
    ['ends with the minute', [{ of: 1, from: 58, to: 59.5 }], {}, 58],
    ['is zero within the reach of words', [{ of: 1, from: 0, to: 59.5 }], {}, 0],
  ])('%s', (_, placed, more, seconds) => {
    expect(wordlessSeconds(placed, { ...rules, ...more })).toBeCloseTo(seconds, 9);
  });

  it('contains all false alarms and no other detections', () => {
    // A prediction that changes in every other window.
    const restless = Int32Array.from({ length: 296 }, (_, w) => w % 2);
    const alarms = judged(restless, [word], rules).filter(({ kind }) => kind === 'falseAlarms').length;
    expect(alarms / wordlessSeconds([word], rules)).toBeCloseTo(1 / 0.4, 1);
  });
});

/**
 * An hour of windows of two words, 1 and 2. Each word is heard ten times a minute, once with an output of only 0.6. In between, the
 * output of word 1 is nearly as high once a minute; the output of word 2 never is.
 */
function hour(): HeardStream {
  const random = seededRandom(3);
  const parts = Array.from({ length: 60 }, () => {
    const scores = new Float64Array(3 * 296);
    /** The output of one class, with the rest for the background. */
    const fill = (of: number, share: number, from: number, to: number) => {
      for (let w = from; w < to; w++) {
        scores.fill(0, 3 * w, 3 * w + 3);
        scores[3 * w] = 1 - share;
        scores[3 * w + of] = share;
      }
    };
    fill(0, 0.9, 0, 296);
    const placed = Array.from({ length: 20 }, (_, i) => {
      const from = 1 + 2.8 * i;
      const first = Math.ceil((from + 0.5 - 1) / 0.2);
      fill(1 + (i % 2), random() < 0.1 ? 0.6 : 0.99, first, first + 2);
      return { of: 1 + (i % 2), from, to: from + 0.5 };
    });
    fill(1, 0.8, 294, 295);
    return { condition: 'others' as const, placed, scores, far: new Uint8Array(296) };
  });
  return { background: 0, parts };
}

describe('thresholds for a rate of false alarms', () => {
  const choose = (target: number) => thresholdsFor(hour(), { target, vote: 'none', signal, classes: 3 });

  it('are not needed for a rate that the stream does not exceed', () => {
    // One false alarm a minute, half of which is within the reach of words.
    expect(choose(120)).toEqual([0, 0, 0]);
    expect(choose(100)[1]).toBeGreaterThan(0.8);
  });

  it('rise only for the class that causes the false alarms, and only as far as needed', () => {
    const [background, first, second] = choose(5);
    expect([background, second]).toEqual([0, 0]);
    expect(first).toBeGreaterThan(0.8);
    expect(first).toBeLessThan(0.82);
  });
});
