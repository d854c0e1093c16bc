// Inputs for aiot and its peers: tables of rows, and projects. They are the same on every machine.
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../harness/process.js';

/** Uniformly distributed numbers in [0, 1), which depend only on the seed (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Mean and standard deviation of a healthy motor's current, temperature, vibration and sound. */
const healthy = [
  [1.5, 0.2],
  [30, 3],
  [500, 80],
  [60, 8],
] as const;

/** Writes rows of the guide's motor. Three in ten are anomalies, shifted by 1.5 standard deviations and with 1.5 times the spread. */
export function writeMotorRows(file: string, rows: number, standardized: boolean): void {
  const random = numbers(11);
  const gaussian = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const lines = Array.from({ length: rows }, () => {
    const ill = random() < 0.3;
    const values = healthy.map(([mean, deviation]) => {
      const z = gaussian() * (ill ? 1.5 : 1) + (ill ? 1.5 : 0);
      return (standardized ? z : mean + deviation * z).toPrecision(7);
    });
    return [...values, ill ? 1 : 0].join(',');
  });
  writeFileSync(file, `current,temperature,vibration,sound,label\n${lines.join('\n')}\n`);
}

/** Creates a project folder with this aiot.yaml and, if given, these recordings. */
export function writeProject(folder: string, yaml: string, recordings?: string): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'aiot.yaml'), yaml);
  if (recordings) cpSync(recordings, join(folder, 'data', 'recordings'), { recursive: true });
  return folder;
}

/** 35 excerpts of real recordings in this repository, or all 53 recordings if they are available next to it. */
export const sampleRecordings = join(root, 'templates', 'har-imu', 'data', 'recordings');
const allRecordings = join(root, '..', 'shared', 'data', 'har', 'recordings');
export const mostRecordings = () => (existsSync(allRecordings) ? allRecordings : sampleRecordings);

export const motorYaml = `name: motor-rows
model:
  kind: mlp
  layers: [60, 30, 10]
  output: probability
  split: window
`;

/** @param model lines of the `model` section */
export const motionYaml = (model: string, features = 'raw', lowpass = '') => `name: motion
stream:
  topic: motion
  fields:
    x: { unit: g, range: [-8, 8] }
    y: { unit: g, range: [-8, 8] }
    z: { unit: g, range: [-8, 8] }
signal: { rate: 100, ${lowpass}resample: 50, window: 128, stride: 64, features: ${features} }
model:
${model}
  labels: { resting: [lying, sitting], walking: [walking], stairs: [upstairs, downstairs] }
  split: recording
`;

/** What is drawn on a tray. */
export const parts = ['bolt', 'nut', 'washer'];

/** aiot.yaml of a project that classifies drawn pictures of parts (mobilenet), or finds the parts in them (fomo). */
export const picturesYaml = ({
  kind,
  blocks,
  size,
  layers,
}: {
  kind: 'mobilenet' | 'fomo';
  blocks: 'v1' | 'v2';
  size: number;
  layers: readonly number[];
}) => `name: parts
stream: { topic: pixels, fields: { gray: { type: int, unit: '', range: [0, 255] } } }
signal:
  features: image
  image: { width: ${size}, height: ${size} }
  rate: ${size * size}
  window: ${size * size}
  stride: ${size * size}
model:
  kind: ${kind}
  blocks: ${blocks}
  layers: [${layers.join(', ')}]
  labels: { ${[...(kind === 'fomo' ? [] : ['empty']), ...parts].map((part) => `${part}: [${part}]`).join(', ')} }
  train: { batch: 16, seed: 7, learningRate: 0.003 }
`;
