import { describe, expect, it } from 'vitest';
import { gaussian, type Random, seededRandom } from '../../src/lib/core/numbers.js';
import { copiesIn, exactCopies } from '../../src/lib/data/copies/copies.js';
import { datasetOf } from '../../src/lib/data/dataset/open.js';
import type { Recording } from '../../src/lib/data/types.js';
import { pcm16 } from '../../src/lib/formats/wav.js';
import { fc, runs } from '../support/property.js';

function dataset(rateHz: number, fields: string[], columns: Float64Array[][]) {
  const recordings = columns.map(
    (own, r): Recording => ({
      ...{ id: `r${r}`, label: r % 3 === 0 ? 'a' : 'b', device: null, rateHz, startedAt: null },
      ...{ fields, columns: own },
    }),
  );
  return datasetOf('test', { fields, rateHz }, recordings);
}

/** Smooth movement without a period. */
function movement(random: Random, samples: number): Float64Array {
  let value = 0;
  return Float64Array.from({ length: samples }, () => (value = 0.9 * value + gaussian(random)));
}

interface Machine {
  hz: number;
  rateHz: number;
  seconds: number;
  noise: number;
}

/** Steady vibration of three axes with two harmonics in random phases. The state changes the amplitudes of the harmonics. */
function vibration(random: Random, state: number, { hz, rateHz, seconds, noise }: Machine): Float64Array[] {
  return [0, 1, 9.81].map((level) => {
    const phases = [0, 0, 0].map(() => 2 * Math.PI * random());
    return Float64Array.from({ length: seconds * rateHz }, (_, i) =>
      [1, 0.4, 0.2].reduce(
        (sum, size, k) =>
          sum +
          size * (1 + 0.3 * state * k) * Math.sin((2 * Math.PI * hz * (k + 1) * i) / rateHz + phases[k]!),
        level + noise * gaussian(random),
      ),
    );
  });
}

/** Checks a property for `numRuns` seeds, each of which yields different recordings. */
function property(numRuns: number, check: (random: Random, seed: number) => void): void {
  fc.assert(
    fc.property(fc.nat(10_000), (seed) => check(seededRandom(seed + 1), seed)),
    { numRuns: runs(numRuns, numRuns / 4) },
  );
}

const kindsIn = (data: ReturnType<typeof dataset>) =>
  copiesIn(data).map(({ a, b, kind }) => `${a} ${b} ${kind}`);

describe('independent recordings', () => {
  it('of quiet 16-bit sound are not copies', () => {
    const random = seededRandom(4);
    const hiss = () => Float64Array.from({ length: 16_000 }, () => pcm16(0.0003 * gaussian(random)));
    expect(
      kindsIn(
        dataset(
          16_000,
          ['sound'],
          Array.from({ length: 8 }, () => [hiss()]),
        ),
      ),
    ).toEqual([]);
  });

  it.each([
    ['a temperature', 25.3, 400, 60],
    ['gravity', 9.81, 100, 15],
    ['a supply voltage', 0.1, 100, 15],
    ['a pressure', 1013.25, 50, 30],
    ['nothing', 0, 100, 15],
    ['one', 1, 100, 15],
  ])('with a constant column (%s: %d) at %d Hz are not copies', (_, value, rateHz, seconds) => {
    for (const place of [0, 1]) {
      const random = seededRandom(3);
      const columns = Array.from({ length: 6 }, (__, k) => {
        const samples = seconds * rateHz + 7 * k;
        const own = [movement(random, samples), new Float64Array(samples).fill(value)];
        return place === 0 ? own.reverse() : own;
      });
      expect(kindsIn(dataset(rateHz, ['x', 'y'], columns))).toEqual([]);
    }
  });

  it('with only constant columns are not copies', () => {
    const columns = [900, 1300, 2600, 5200].map((samples) => [new Float64Array(samples * 2).fill(25.3)]);
    expect(kindsIn(dataset(400, ['t'], columns))).toEqual([]);
  });

  it.each<Machine>([
    { hz: 24.6, rateHz: 400, seconds: 20, noise: 0.001 },
    { hz: 24.6, rateHz: 400, seconds: 30, noise: 0.05 },
    { hz: 24.6, rateHz: 400, seconds: 30, noise: 0.3 },
    { hz: 1.3, rateHz: 100, seconds: 40, noise: 0.05 },
    { hz: 3.1, rateHz: 100, seconds: 30, noise: 0.05 },
    { hz: 49, rateHz: 1000, seconds: 20, noise: 0.05 },
  ])('from a steadily turning machine are not copies in any state: $hz Hz, noise $noise', (machine) => {
    for (const seed of [1, 2, 3]) {
      const random = seededRandom(seed);
      const columns = [0, 1, 2].flatMap((state) =>
        Array.from({ length: 4 }, () => vibration(random, state, machine)),
      );
      expect(kindsIn(dataset(machine.rateHz, ['x', 'y', 'z'], columns))).toEqual([]);
    }
  });
});

describe('a copy', () => {
  /** Recordings to compare with: movements, or vibrations of a machine in a given state. */
  const others = {
    movement: (random: Random) => [movement(random, 3000), movement(random, 3000)],
    vibration: (random: Random, state: number) =>
      vibration(random, state, { hz: 24.6, rateHz: 100, seconds: 30, noise: 0.05 }).slice(0, 2),
  };

  it('with equal samples is found in any data, wherever it is cut', () => {
    property(40, (random, seed) => {
      const make = others[seed % 2 === 0 ? 'movement' : 'vibration'];
      const columns = Array.from({ length: 5 }, (_, k) => make(random, k % 3));
      const from = Math.floor(random() * 1000);
      columns.push(columns[2]!.map((column) => column.slice(from, from + 1500)));
      expect(kindsIn(dataset(100, ['x', 'y'], columns))).toEqual(['r2 r5 exact']);
    });
  });

  it('with equal samples is found with few fingerprints too, which bound the memory for hours of sound', () => {
    const random = seededRandom(3);
    const columns = Array.from({ length: 12 }, () => [movement(random, 8000)]);
    columns.push([columns[4]![0]!.slice(3000, 8000)]);
    const data = dataset(16_000, ['sound'], columns);
    for (const most of [1e6, 3000, 800]) {
      const found = exactCopies(data, most);
      expect(found.map(({ a, b }) => [a, b].sort())).toEqual([['r12', 'r4']]);
      expect(found[0]!.share).toBeGreaterThan(0.9);
    }
  });

  it('with gain, offset, and 20 percent noise is found in movements', () => {
    property(40, (random) => {
      const columns = Array.from({ length: 6 }, () => others.movement(random));
      const from = Math.floor(random() * 800);
      const [gain, offset] = [0.5 + random(), 10 * random()];
      const source = columns[1]!.map((column) => column.slice(from, from + 2000));
      columns.push(
        source.map((column) => {
          const size = Math.sqrt(column.reduce((sum, x) => sum + x * x, 0) / column.length);
          return column.map((x) => gain * (x + 0.2 * size * gaussian(random)) + offset);
        }),
      );
      const found = copiesIn(dataset(100, ['x', 'y'], columns));
      expect(found.map(({ a, b }) => `${a} ${b}`)).toEqual(['r1 r6']);
    });
  });

  it('of 8 s inside another recording is found', () => {
    property(20, (random) => {
      const columns = Array.from({ length: 6 }, () => others.movement(random));
      const [from, to] = [Math.floor(random() * 2000), Math.floor(random() * 2000)];
      const target = columns[4]!.map((column) => column.slice());
      columns[1]!.forEach((column, f) => {
        target[f]!.set(
          column.slice(from, from + 800).map((x) => x * 1.3 + 0.05 * gaussian(random)),
          to,
        );
      });
      columns[4] = target;
      const found = copiesIn(dataset(100, ['x', 'y'], columns));
      expect(found.map(({ a, b }) => `${a} ${b}`)).toEqual(['r1 r4']);
    });
  });
});
