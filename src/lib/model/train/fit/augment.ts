import { gaussian, type Random, seededRandom } from '../../../core/numbers.js';
import type { Standardization } from '../../../signal/spec.js';

/** Random changes of training examples, different in each epoch; each value is a magnitude, 0 = off. */
export interface Augmentation {
  /** Degrees. */
  rotation: number;
  timeWarp: number;
  /** Standard deviation of Gaussian noise on the standardized inputs. */
  noise: number;
  gain: number;
}

/** The position of a point of a picture, in pixels, after a random change of that picture. */
export type Move = (x: number, y: number) => [x: number, y: number];

/** Changes `rows` standardized examples in place. `onMove` is called for each picture whose pixels are moved. */
export type Augment = (
  inputs: Float32Array,
  rows: number,
  random: Random,
  onMove?: (row: number, move: Move) => void,
) => void;

/**
 * The requested changes, in this order: time warp, rotation, gain, then noise. The first three are made in the windows' own units, because
 * gravity rotates with the sensor.
 * @param window layout of a raw window in an example: [samples × fields], sample after sample; null if inputs are separate numbers, to
 * which only noise applies
 */
export function augmenter(
  { rotation, timeWarp, noise, gain }: Augmentation,
  inputSize: number,
  { mean, deviation }: Standardization,
  window: { samples: number; fields: number } | null,
): Augment | null {
  const moves = window !== null && rotation + timeWarp + gain > 0;
  if (!moves && noise === 0) return null;
  const table = noise > 0 ? noiseTable() : null;
  const raw = new Float64Array(inputSize);
  const work = new Float64Array(inputSize);
  return (inputs, rows, random) => {
    for (let row = 0; row < rows; row++) {
      const own = inputs.subarray(row * inputSize, (row + 1) * inputSize);
      if (moves) {
        for (let i = 0; i < inputSize; i++) raw[i] = own[i]! * deviation[i]! + mean[i]!;
        if (timeWarp > 0) warp(raw, work, window, timeWarp * (2 * random() - 1));
        if (rotation > 0) turn(raw, window, rotationMatrix(rotation, random));
        const factor = 1 + gain * (2 * random() - 1);
        for (let i = 0; i < inputSize; i++) own[i] = (raw[i]! * factor - mean[i]!) / deviation[i]!;
      }
      if (table) addNoise(own, noise, table, random);
    }
  };
}

/** Numbers from a standard normal distribution, drawn once, because a training run needs many millions. */
let table: Float32Array | undefined;
const tableSize = 1 << 16;
export function noiseTable(): Float32Array {
  const random = seededRandom(20201120);
  table ??= Float32Array.from({ length: tableSize }, () => gaussian(random));
  return table;
}

/** Adds excerpts from the table at random positions. They are short enough that two rows rarely share one. */
export function addNoise(own: Float32Array, size: number, values: Float32Array, random: Random): void {
  let at = 0;
  for (let i = 0; i < own.length; i++) {
    if (i % 64 === 0) at = Math.floor(random() * tableSize);
    own[i] = own[i]! + size * values[(at + i) & (tableSize - 1)]!;
  }
}

/**
 * Speeds time up in one half of the window and slows it down in the other. Sample t of n is taken from t + a·n/2π·sin(2πt/n), whose speed
 * is between 1 − |a| and 1 + |a|. The first and last samples are fixed. Linear interpolation between samples.
 */
function warp(
  raw: Float64Array,
  work: Float64Array,
  { samples, fields }: { samples: number; fields: number },
  amount: number,
): void {
  const last = samples - 1;
  for (let t = 0; t < samples; t++) {
    const position = t + ((amount * last) / (2 * Math.PI)) * Math.sin((2 * Math.PI * t) / Math.max(1, last));
    const before = Math.min(last, Math.max(0, Math.floor(position)));
    const after = Math.min(last, before + 1);
    const share = position - before;
    for (let f = 0; f < fields; f++) {
      const [a, b] = [raw[before * fields + f]!, raw[after * fields + f]!];
      work[t * fields + f] = a + (b - a) * share;
    }
  }
  raw.set(work);
}

/** Rotates each group of three fields (x, y, z) in the same way; leftover fields are unchanged. */
function turn(
  raw: Float64Array,
  { samples, fields }: { samples: number; fields: number },
  m: number[],
): void {
  for (let t = 0; t < samples; t++) {
    for (let f = 0; f + 3 <= fields; f += 3) {
      const at = t * fields + f;
      const [x, y, z] = [raw[at]!, raw[at + 1]!, raw[at + 2]!];
      raw[at] = m[0]! * x + m[1]! * y + m[2]! * z;
      raw[at + 1] = m[3]! * x + m[4]! * y + m[5]! * z;
      raw[at + 2] = m[6]! * x + m[7]! * y + m[8]! * z;
    }
  }
}

/** Rotation by up to this many degrees about a random axis on the sphere (Rodrigues' formula), row by row. */
export function rotationMatrix(degrees: number, random: Random): number[] {
  const angle = ((2 * random() - 1) * degrees * Math.PI) / 180;
  const z = 2 * random() - 1;
  const around = 2 * Math.PI * random();
  const side = Math.sqrt(1 - z * z);
  const [x, y] = [side * Math.cos(around), side * Math.sin(around)];
  const [s, c] = [Math.sin(angle), Math.cos(angle)];
  const k = 1 - c;
  return [
    c + x * x * k,
    x * y * k - z * s,
    x * z * k + y * s,
    y * x * k + z * s,
    c + y * y * k,
    y * z * k - x * s,
    z * x * k - y * s,
    z * y * k + x * s,
    c + z * z * k,
  ];
}
