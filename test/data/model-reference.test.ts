import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import {
  addSamples,
  compareCounts,
  modelReference,
  modelReferenceSchema,
  noSignal,
  type SignalState,
} from '../../src/lib/data/drift/model-reference.js';
import { fc } from '../support/property.js';

const fields = ['x', 'y', 'z'];
const classes = ['off', 'on', 'fault'];
/** Mean and spread of each field by class. */
const levels: Record<string, [number, number][]> = {
  off: [
    [0, 0.05],
    [1, 0.05],
    [20, 0.5],
  ],
  on: [
    [0.2, 0.4],
    [1, 0.5],
    [50, 2],
  ],
  fault: [
    [0.2, 0.9],
    [1.1, 1],
    [70, 3],
  ],
};

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** A signal whose neighboring samples are similar, as those of a sensor are. */
function signal(label: string, seed: number, count: number): Float64Array[] {
  const random = seededRandom(seed);
  return levels[label]!.map(([mean, spread]) => {
    let value = normal(random);
    return Float64Array.from({ length: count }, () => {
      value = 0.8 * value + 0.6 * normal(random);
      return mean + spread * value;
    });
  });
}

const training = classes.flatMap((label, c) =>
  Array.from({ length: 5 }, (_, i) => ({ label, columns: signal(label, 10 * c + i + 1, 2000) })),
);
const reference = modelReference(fields, 1, training)!;
const { needed } = noSignal(reference);

type Change = (columns: Float64Array[]) => Float64Array[];

const unchanged: Change = (columns) => columns;

/** Windows of a device that stays in one class for a while, then changes to another. */
function windows(
  count: number,
  seed: number,
  change = unchanged,
  state = noSignal(reference),
): SignalState[] {
  const random = seededRandom(seed);
  const states: SignalState[] = [];
  let label = 'off';
  for (let w = 0; w < count; w++) {
    if (random() < 0.3) label = classes[Math.floor(random() * classes.length)]!;
    addSamples(reference, state, change(signal(label, seed * 10_007 + w, needed)), 1000 * (w + 1));
    states.push(structuredClone(state));
  }
  return states;
}

const only =
  (field: number, change: (value: number, i: number) => number): Change =>
  (columns) =>
    columns.map((column, f) => (f === field ? column.map(change) : column));

describe('the reference of a model', () => {
  it('is small, valid, and has counts for each class and bin', () => {
    expect(modelReferenceSchema.parse(JSON.parse(JSON.stringify(reference)))).toEqual(reference);
    expect(JSON.stringify(reference).length).toBeLessThan(2000);
    expect(reference.classes).toEqual(['fault', 'off', 'on']);
    const totals = reference.fields.map(({ counts }) => counts.map((own) => own.reduce((a, b) => a + b, 0)));
    expect(totals).toEqual(fields.map(() => [10_000, 10_000, 10_000]));
    for (const field of reference.fields)
      expect([field.counts.map((own) => own[0]), field.counts.map((own) => own.at(-1))]).toEqual([
        [0, 0, 0],
        [0, 0, 0],
      ]);
  });

  it('is absent for too little data, too many fields, and no data', () => {
    const short = [{ label: 'a', columns: signal('off', 1, 20) }];
    expect(modelReference(fields, 1, short)).toBe(null);
    expect(modelReference(fields, 1, [])).toBe(null);
    const many = Array.from({ length: 17 }, (_, i) => `f${i}`);
    expect(modelReference(many, 1, [{ label: 'a', columns: many.map(() => new Float64Array(1000)) }])).toBe(
      null,
    );
  });

  it('rejects counts that do not match the bins', () => {
    const damaged = structuredClone(reference);
    damaged.fields[1]!.counts[0]!.pop();
    expect(modelReferenceSchema.safeParse(damaged).success).toBe(false);
  });

  it('compares any counts with finite results, and the counts of a class as equal', () => {
    const bins = reference.fields.map(({ cuts }) => cuts.length + 1);
    const finite = fc.property(
      fc.tuple(...bins.map((length) => fc.array(fc.nat(1e6), { minLength: length, maxLength: length }))),
      (counts) => {
        const { weights, fields: found } = compareCounts(reference, counts);
        const sum = weights.reduce((a, b) => a + b, 0);
        return (
          Math.abs(sum - 1) < 1e-6 &&
          found.every(({ psi, p }) => psi >= 0 && Number.isFinite(psi) && p >= 0 && p <= 1)
        );
      },
    );
    fc.assert(finite);
    for (const c of [0, 1, 2]) {
      const own = reference.fields.map(({ counts }) => counts[c]!);
      const { weights, fields: found } = compareCounts(reference, own);
      expect(weights[c]).toBeGreaterThan(0.95);
      expect(Math.max(...found.map(({ psi }) => psi))).toBeLessThan(0.02);
    }
  });
});

describe('the signal of a device', () => {
  it('closes a window only after enough samples, no matter how they are divided into messages', () => {
    const columns = signal('on', 5, needed);
    const whole = noSignal(reference);
    addSamples(reference, whole, columns, 1);
    const divided = fc.property(
      fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 }),
      (sizes) => {
        const state = noSignal(reference);
        let closed = false;
        for (let from = 0, i = 0; from < needed; i++) {
          const to = Math.min(needed, from + sizes[i % sizes.length]!);
          const part = columns.map((column) => column.subarray(from, to));
          if (closed) return false;
          closed = addSamples(reference, state, part, 1);
          from = to;
        }
        return closed && JSON.stringify(state) === JSON.stringify(whole);
      },
    );
    fc.assert(divided);
  });

  it('of unchanged data raises at most one false alarm in 1,000 device-days, whatever the class', () => {
    // A day has at most 144 windows.
    const days = 7;
    const found = windows(144 * days, 3);
    const single = found.filter(({ windows: own }) => own.at(-1)!.drifted.length > 0).length;
    expect(found.filter(({ drift }) => drift !== null).length).toBe(0);
    // Two successive windows must agree: (2 / 1,008)² · 144 is less than 1 / 1,000.
    expect(single).toBeLessThanOrEqual(2);
  });

  it.each<[string, Change, string, 'psi' | 'stuck']>([
    ['a gain of 1.5', only(2, (value) => 1.5 * value), 'z', 'psi'],
    ['an offset', only(1, (value) => value + 2), 'y', 'psi'],
    ['a stuck sensor', only(1, () => 1), 'y', 'stuck'],
    ['swapped axes', ([x, y, z]) => [z!, y!, x!], 'x', 'psi'],
  ])('with %s drifts in the second window, and recovers', (_, change, field, measure) => {
    for (const seed of [1, 2, 3]) {
      const state = noSignal(reference);
      windows(2, seed, unchanged, state);
      const drifted = windows(4, seed + 50, change, state);
      const recovered = windows(3, seed + 90, unchanged, state);
      expect(drifted.map(({ drift }) => drift?.since ?? null)).toEqual([null, 1000, 1000, 1000]);
      const { drift, windows: last } = drifted.at(-1)!;
      expect([drift?.measure, last.at(-1)?.drifted.includes(field)]).toEqual([measure, true]);
      expect(drift!.value).toBeGreaterThanOrEqual(drift!.limit);
      expect(recovered.at(-1)!.drift).toBe(null);
    }
  });

  it('takes the same space after any number of windows', () => {
    const sizes = windows(30, 9).map((state) => JSON.stringify(state).length);
    expect(sizes.at(-1)!).toBeLessThan(1500);
    expect(Math.max(...sizes.slice(2)) - Math.min(...sizes.slice(2))).toBeLessThan(200);
  });

  it('survives being stored as JSON between any two messages', () => {
    const [kept, direct] = [noSignal(reference), noSignal(reference)];
    let stored: SignalState = kept;
    for (let i = 0; i < 3; i++) {
      const columns = signal('fault', i + 70, 700);
      addSamples(reference, direct, columns, i);
      addSamples(reference, stored, columns, i);
      stored = JSON.parse(JSON.stringify(stored)) as SignalState;
    }
    expect(stored).toEqual(JSON.parse(JSON.stringify(direct)));
  });
});
