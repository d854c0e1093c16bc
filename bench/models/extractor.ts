// Computing the 115 features of the original system, from windows to the text sent to its predictor. The peer uses the original's
// libraries on the same windows.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeFrame } from '../../src/lib/loop/har/windows.js';
import { createPipeline } from '../../src/lib/signal/pipeline.js';
import { featureNames, type SignalSpec } from '../../src/lib/signal/spec.js';
import type { Bench } from '../harness/area.js';
import { type Figure, growth } from '../harness/figure.js';
import { pythonVersions } from '../harness/parts.js';
import { root, timed } from '../harness/process.js';
import { sampleRecordings } from './data.js';

/** Time per window of the original's own extractor, measured once, ms. The peer here is a leaner program with the same libraries. */
const original = 34.8;

export function features(bench: Bench): Figure[] {
  const folder = bench.folder();
  const text = readFileSync(join(sampleRecordings, 'walking1.csv'), 'utf8');
  const rows = text
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(',').map(Number));
  const compared = [500, 501].flatMap((samples) => compare(folder, rows, samples));
  // V8 compiled the code during the comparison, so compile time no longer counts.
  const points = (bench.quick ? [100, 1000] : [100, 1000, 10_000]).map((size) => {
    const { user, system } = process.cpuUsage();
    ours(rows, 500, size);
    const now = process.cpuUsage();
    return { size, cost: (now.user - user + now.system - system) / 1e6 };
  });
  return [...compared, growth('features, windows', 1.1, points, 'processor s')];
}

function compare(folder: string, rows: readonly number[][], samples: number): Figure[] {
  const windows = Math.floor(rows.length / samples);
  const file = join(folder, `${samples}.bin`);
  writeFileSync(file, Float64Array.from(rows.slice(0, windows * samples).flat()));
  const python = join(root, '.venv', 'har', 'bin', 'python');
  const script = join(root, 'bench', 'models', 'peers', 'extractor.py');
  // The peer reports the CPU time of its thread, because a busy machine would preempt its long computations. Ours are too short for
  // that.
  const { stdout } = timed([python, script, file, `${windows}`, `${samples}`], { OPENBLAS_NUM_THREADS: '1' });
  const peer = JSON.parse(stdout) as { ms: number[]; names: string[]; features: number[] };
  // Warms up V8, which compiles the code only after some thousand windows. A service that runs for months is almost always warmed up.
  // Python needs no warm-up.
  const until = performance.now() + 2000;
  while (performance.now() < until) ours(rows, samples, windows);
  const { ms, first } = ours(rows, samples, windows);
  const worst = featureNames(specOf(samples)).reduce((most, name, i) => {
    const theirs = peer.features[peer.names.indexOf(name)]!;
    return Math.max(most, Math.abs(first[i]! - theirs) / Math.max(1e-6, Math.abs(theirs)));
  }, 0);
  const own = { name: `115 features of ${samples} × 3, including serialization`, unit: 'ms', ours: ms };
  const peerOf = {
    name: 'the original Python program',
    version: pythonVersions('har', 'numpy', 'scipy', 'PyWavelets', 'statsmodels'),
    rounds: peer.ms,
  };
  const fault = worst < 1e-4 ? {} : { fails: 'the features differ by more than 1e-4' };
  return [
    {
      ...own,
      goal: 1 / 20,
      peer: peerOf,
      note: `the features differ by at most ${worst.toExponential(0)}`,
      ...fault,
    },
    { ...own, name: `${own.name}, absolute`, goal: original / 50 },
  ];
}

function specOf(samples: number): SignalSpec {
  return {
    ...{ fields: ['x', 'y', 'z'], rateHz: 100, lowpassHz: null, resampleHz: 100 },
    ...{ windowSamples: samples, strideSamples: samples, features: 'har' },
  };
}

/** Time per window in ms, and the features of the first window. The recording is repeated as often as necessary. */
function ours(rows: readonly number[][], samples: number, windows: number) {
  const spec = specOf(samples);
  const names = featureNames(spec);
  const pipeline = createPipeline(spec);
  const ms: number[] = [];
  let first: Float32Array | undefined;
  const whole = Math.floor(rows.length / samples);
  for (let w = 0; w < windows; w++) {
    const started = performance.now();
    for (let i = 0; i < samples; i++) {
      const features = pipeline.push(rows[(w % whole) * samples + i]!);
      if (!features) continue;
      first ??= features.slice();
      encodeFrame(names, features);
    }
    ms.push(performance.now() - started);
  }
  return { ms, first: first! };
}
