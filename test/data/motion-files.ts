import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';

export type Rows = number[][];

/** One person's walk at 100 Hz, three axes in g. The steps are similar but vary slightly in length and strength. */
export function walk(seed: number, seconds = 40, pace = 1.9): Rows {
  const random = seededRandom(seed);
  const rows: Rows = [];
  let phase = random() * 2 * Math.PI;
  let speed = 1;
  let strength = 1;
  for (let i = 0; i < seconds * 100; i++) {
    speed += 0.02 * gaussian(random) - 0.02 * (speed - 1);
    strength += 0.02 * gaussian(random) - 0.02 * (strength - 1);
    phase += (2 * Math.PI * pace * speed) / 100;
    const step = 0.3 * strength * Math.sin(phase) + 0.12 * Math.sin(2 * phase + 0.4);
    rows.push([
      1 + step + 0.02 * gaussian(random),
      -0.1 + 0.2 * strength * Math.sin(phase / 2) + 0.02 * gaussian(random),
      0.2 + 0.15 * strength * Math.cos(phase + 0.3) + 0.02 * gaussian(random),
    ]);
  }
  return rows;
}

/** A sitting person, with little more than sensor noise, near zero on two axes. */
export function rest(seed: number, seconds = 40): Rows {
  const random = seededRandom(seed);
  let drift = 0;
  return Array.from({ length: seconds * 100 }, () => {
    drift += 0.0002 * gaussian(random);
    return [1 + 0.002 * gaussian(random), drift + 0.002 * gaussian(random), 0.002 * gaussian(random)];
  });
}

export const csvOf = (rows: Rows, head = 'x,y,z', decimals = 5) =>
  `${head}\n${rows.map((row) => row.map((value) => Number(value.toFixed(decimals))).join(',')).join('\n')}\n`;

export async function writeFiles(folder: string, files: Record<string, Rows | string>): Promise<void> {
  for (const [name, rows] of Object.entries(files)) {
    const file = join(folder, name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, typeof rows === 'string' ? rows : csvOf(rows));
  }
}

/** `count` walks and `count` rests below a folder, named `walking1.csv`, `sitting1.csv` and so on. */
export function people(count: number, below = '', first = 1): Record<string, Rows> {
  const files: Record<string, Rows> = {};
  for (let k = first; k < first + count; k++) {
    files[`${below}walking${k}.csv`] = walk(k);
    files[`${below}sitting${k}.csv`] = rest(k + 100);
  }
  return files;
}

export const noisy = (rows: Rows, share: number, seed = 5): Rows => {
  const random = seededRandom(seed);
  return rows.map((row) => row.map((value, f) => value + share * [0.25, 0.15, 0.1][f]! * gaussian(random)));
};
export const scaled = (rows: Rows, gain: number, offset = 0): Rows =>
  rows.map((row) => row.map((value) => gain * value + offset));
/** Resamples by linear interpolation. */
export const resampled = (rows: Rows, factor: number): Rows =>
  Array.from({ length: Math.floor((rows.length - 1) * factor) }, (_, i) => {
    const at = i / factor;
    const from = Math.floor(at);
    const share = at - from;
    return rows[from]!.map((value, f) => value + share * (rows[from + 1]![f]! - value));
  });
