import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createPipeline, featureNames, type SignalSpec } from '../../src/lib/signal/index.js';
import { median, root } from '../models/measure.js';

const samples = 500;
const spec: SignalSpec = {
  fields: ['x', 'y', 'z'],
  rateHz: 100,
  lowpassHz: null,
  resampleHz: 100,
  windowSamples: samples,
  strideSamples: samples,
  features: 'har',
};

export const extractorPython = join(root, '.venv', 'har', 'bin', 'python');

/**
 * The original's 115 features of windows of 500 samples to the text that goes to its predictor: ours, and its own libraries, on the
 * same windows in the same run.
 */
export function compareExtractors(folder: string): {
  ours: number;
  theirs: number;
  windows: number;
  worst: number;
} {
  const rows = readFileSync(join(root, 'templates', 'har-imu', 'data', 'recordings', 'walking1.csv'), 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(',').map(Number));
  const windows = Math.floor(rows.length / samples);
  const flat = Float64Array.from(rows.slice(0, windows * samples).flat());
  const file = join(folder, 'windows.bin');
  writeFileSync(file, flat);
  const script = join(root, 'bench', 'loop', 'peers', 'extractor.py');
  const { stdout, status, stderr } = spawnSync(
    extractorPython,
    [script, file, String(windows), String(samples)],
    {
      encoding: 'utf8',
    },
  );
  if (status !== 0) throw new Error(stderr);
  const peer = JSON.parse(stdout) as { ms: number[]; names: string[]; features: number[] };
  const names = featureNames(spec);
  // Once over all, so that both are warm.
  ours(rows, windows, names);
  const { ms, first } = ours(rows, windows, names);
  let worst = 0;
  names.forEach((name, i) => {
    const theirs = peer.features[peer.names.indexOf(name)]!;
    worst = Math.max(worst, Math.abs(first[i]! - theirs) / Math.max(1e-6, Math.abs(theirs)));
  });
  return { ours: median(ms), theirs: median(peer.ms), windows, worst };
}

function ours(rows: readonly number[][], windows: number, names: readonly string[]) {
  const pipeline = createPipeline(spec);
  const ms: number[] = [];
  let first: Float32Array | undefined;
  for (let w = 0; w < windows; w++) {
    const started = performance.now();
    for (let i = 0; i < samples; i++) {
      const features = pipeline.push(rows[w * samples + i]!);
      if (!features) continue;
      first ??= features.slice();
      const text = JSON.stringify({ columns: names, index: [0], data: [[...features]] });
      Buffer.from(Buffer.from(text).toString('base64'));
    }
    ms.push(performance.now() - started);
  }
  return { ms, first: first! };
}
