import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import {
  endRise,
  motor,
  motorSamples,
  motorStates,
  outerRaceHz,
  runningCurrent,
  shaftHz,
  simulateMotor,
} from '../../src/lib/data/motor.js';
import { createFourier } from '../../src/lib/signal/fourier.js';

const rateHz = 200;
const take = (state: (typeof motorStates)[number], seed: number, seconds = 20) =>
  simulateMotor({ state, seconds, rateHz, seed });
const mean = (column: Float64Array) => column.reduce((sum, v) => sum + v, 0) / column.length;
/** Returns the power between two frequencies, and the frequency of the strongest line between them. */
const band = (column: Float64Array, lowHz: number, highHz: number) => {
  const fourier = createFourier(column.length);
  fourier.transform(column);
  let power = 0;
  let best = { hz: 0, power: 0 };
  for (let k = 1; k < column.length / 2; k++) {
    const hz = (k * rateHz) / column.length;
    if (hz < lowHz || hz > highHz) continue;
    const own = (fourier.re[k]! ** 2 + fourier.im[k]! ** 2) / column.length ** 2;
    power += own;
    if (own > best.power) best = { hz, power: own };
  }
  return { power, hz: best.hz };
};

describe('the physical motor model', () => {
  it('turns more slowly under heavier load, below the field of 25 turns per second', () => {
    expect([shaftHz(0), shaftHz(1)]).toEqual([23, 21]);
  });

  it('puts the outer race at 2.57 passes per turn for a 608 bearing', () => {
    expect(outerRaceHz(1)).toBeCloseTo(2.574, 3);
  });

  it('heats up far more with a blocked rotor than with a turning one', () => {
    expect(endRise(runningCurrent(0.5))).toBeLessThan(25);
    expect(endRise(motor.current.blocked)).toBeGreaterThan(75);
  });
});

describe('the simulated motor', () => {
  it('is the same for the same seed, and different for another', () => {
    expect(take('bearing', 3)).toEqual(take('bearing', 3));
    expect(take('bearing', 3).columns[2]).not.toEqual(take('bearing', 4).columns[2]);
    expect(take('healthy', 3).columns[2]).not.toEqual(take('imbalance', 3).columns[2]);
  });

  it.each([1, 2, 3, 4, 5, 6])('shows each fault’s physical signature (motor %i)', (seed) => {
    const [healthy, bearing, blocked, imbalance] = motorStates.map((state) => take(state, seed).columns);
    expect(mean(healthy![0]!)).toBeLessThan(0.85);
    expect(mean(blocked![0]!)).toBeCloseTo(motor.current.blocked, 2);
    // A locked rotor heats up steadily, whereas a warm motor keeps its temperature.
    expect(blocked![1]!.at(-1)! - blocked![1]![0]!).toBeGreaterThan(0.1);
    // The outer race is at 54 to 59 Hz, and the ringing is at about 80 Hz. A healthy motor has neither.
    expect(band(bearing![2]!, 50, 95).power).toBeGreaterThan(5 * band(healthy![2]!, 50, 95).power);
    expect(band(bearing![2]!, 50, 65).power).toBeGreaterThan(band(bearing![2]!, 30, 45).power);
    const line = band(imbalance![2]!, 1, 95);
    expect(line.hz).toBeGreaterThan(shaftHz(1) - 0.2);
    expect(line.hz).toBeLessThan(shaftHz(0) + 0.2);
    expect(line.power).toBeGreaterThan(4 * band(healthy![2]!, 1, 95).power);
    expect(band(blocked![2]!, 20, 24).power).toBeLessThan(0.1 * band(healthy![2]!, 20, 24).power);
    for (const columns of [healthy, bearing, blocked, imbalance]) {
      for (const column of columns!) expect(column.every(Number.isFinite)).toBe(true);
    }
  });

  it('rings less with early wear than with a pit, and more than when healthy', () => {
    const ringing = (state: (typeof motorStates)[number]) =>
      [1, 2, 3, 4, 5, 6].map((seed) => band(take(state, seed).columns[2]!, 50, 95).power);
    const [healthy, worn, bearing] = [ringing('healthy'), ringing('worn'), ringing('bearing')];
    expect(Math.max(...worn)).toBeLessThan(Math.min(...bearing));
    expect(mean(Float64Array.from(worn))).toBeGreaterThan(1.2 * mean(Float64Array.from(healthy)));
  });

  it('can stream the same samples one at a time', () => {
    const random = seededRandom(4 + motorStates.indexOf('healthy'));
    const live = motorSamples({ state: 'healthy', rateHz, random });
    const { columns } = take('healthy', 1, 1);
    for (let i = 0; i < rateHz; i++) expect(live.next().value).toEqual(columns.map((column) => column[i]));
  });
});
