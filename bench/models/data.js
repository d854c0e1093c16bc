// What both sides are given: tables of rows and projects, the same on every machine.
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './measure.js';

/** Evenly distributed numbers in [0, 1), the same everywhere (mulberry32). @param {number} seed */
function numbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Current, temperature, vibration, sound of a motor that is well: mean and deviation. */
const healthy = [
  [1.5, 0.2],
  [30, 3],
  [500, 80],
  [60, 8],
];

/**
 * Rows of the guide's motor: three in ten are an anomaly, moved by 1.5 deviations and half as wide again.
 * @param {string} file
 * @param {number} rows
 * @param {boolean} standardized
 */
export function writeMotorRows(file, rows, standardized) {
  const random = numbers(11);
  const gaussian = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const lines = Array.from({ length: rows }, () => {
    const ill = random() < 0.3;
    const values = healthy.map(([mean = 0, deviation = 1]) => {
      const z = gaussian() * (ill ? 1.5 : 1) + (ill ? 1.5 : 0);
      return (standardized ? z : mean + deviation * z).toPrecision(7);
    });
    return [...values, ill ? 1 : 0].join(',');
  });
  writeFileSync(file, `current,temperature,vibration,sound,label\n${lines.join('\n')}\n`);
}

/**
 * A project folder with this aiot.yaml, and with recordings where some are given.
 * @param {string} folder
 * @param {string} yaml
 * @param {string} [recordings]
 */
export function writeProject(folder, yaml, recordings) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'aiot.yaml'), yaml);
  if (recordings) cpSync(recordings, join(folder, 'data', 'recordings'), { recursive: true });
  return folder;
}

/** 35 cuts of real recordings that are part of this repository, and all 53 where they are beside it. */
export const sampleRecordings = join(root, 'templates', 'har-imu', 'data', 'recordings');
const allRecordings = join(root, '..', 'shared', 'data', 'har', 'recordings');
export const mostRecordings = () => (existsSync(allRecordings) ? allRecordings : sampleRecordings);

/** A recording's columns. @param {string} file @returns {Float64Array[]} */
export function columnsOf(file) {
  const rows = readFileSync(file, 'utf8').trim().split('\n').slice(1);
  const values = rows.map((row) => row.split(',').map(Number));
  return [0, 1, 2].map((axis) => Float64Array.from(values, (row) => row[axis] ?? 0));
}

export const motorYaml = `name: motor-rows
model:
  kind: mlp
  layers: [60, 30, 10]
  output: probability
  split: window
`;

/** @param {string} model the model section's own lines */
export const motionYaml = (model, features = 'raw', lowpass = '') => `name: motion
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
