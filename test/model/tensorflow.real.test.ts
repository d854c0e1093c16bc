import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { quantizeModes } from '../../src/lib/core/project-schema.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { root } from '../support/cli.js';
import { describeReal, python } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

/** Training and test examples, as consecutive rows of inputs and their classes. */
interface PeerData {
  shape: number[];
  classes: number;
  train: { x: Float32Array; y: Int32Array };
  test: { x: Float32Array; y: Int32Array };
}

/**
 * Motor data as in the guide's dashboard: current, temperature, vibration and sound, standardized. Three rows in ten
 * are anomalies, shifted by 1.5 deviations and half as wide again. The output is one probability.
 */
function motorData(): PeerData {
  const random = seededRandom(3);
  const part = (rows: number) => {
    const y = Int32Array.from({ length: rows }, () => (random() < 0.3 ? 1 : 0));
    const x = Float32Array.from({ length: rows * 4 }, (_, i) => {
      const ill = y[Math.floor(i / 4)] === 1;
      return gaussian(random) * (ill ? 1.5 : 1) + (ill ? 1.5 : 0);
    });
    return { x, y };
  };
  return { shape: [4], classes: 1, train: part(3000), test: part(2000) };
}

const windowSize = 128;

/**
 * Windows of 128 samples at 50 Hz (each the mean of two at 100 Hz) from the template's recordings: resting, walking,
 * stairs. Every fourth recording is for testing.
 */
function motionData(): PeerData {
  const folder = join(root, 'templates', 'har-imu', 'data', 'recordings');
  const parts = {
    train: { x: [] as number[], y: [] as number[] },
    test: { x: [] as number[], y: [] as number[] },
  };
  readdirSync(folder)
    .sort()
    .forEach((name, index) => {
      const { x, y } = index % 4 === 3 ? parts.test : parts.train;
      const label = name.startsWith('walking') ? 1 : /stairs/.test(name) ? 2 : 0;
      const lines = readFileSync(join(folder, name), 'utf8').trim().split('\n').slice(1);
      const rows = lines.map((line) => line.split(',').map(Number));
      const half = Array.from({ length: rows.length >> 1 }, (_, i) =>
        [0, 1, 2].map((axis) => (rows[2 * i]![axis]! + rows[2 * i + 1]![axis]!) / 2),
      );
      for (let start = 0; start + windowSize <= half.length; start += windowSize / 4) {
        x.push(...half.slice(start, start + windowSize).flat());
        y.push(label);
      }
    });
  const typed = ({ x, y }: { x: number[]; y: number[] }) => ({
    x: Float32Array.from(x),
    y: Int32Array.from(y),
  });
  return { shape: [windowSize, 3], classes: 3, train: typed(parts.train), test: typed(parts.test) };
}

/** Number of rows that both quantizers determine their ranges from. */
const calibration = 300;

describeReal('tensorflow', 'files from TensorFlow’s converter, for the same weights and rows', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-tensorflow-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const motion = motionData();
  const networks: Record<string, { kind: string; data: PeerData; epochs: number }> = {
    'motor-mlp': { kind: 'mlp', data: motorData(), epochs: 8 },
    'har-cnn1d': { kind: 'cnn1d', data: motion, epochs: 6 },
    'har-ds-cnn': { kind: 'ds-cnn', data: motion, epochs: 6 },
  };
  const theirs = (name: string, mode: string) => readFileSync(join(folder, name, `${name}.${mode}.tflite`));

  beforeAll(async () => {
    const jobs = Object.entries(networks).map(([name, { kind, data, epochs }]) => {
      const own = join(folder, name);
      mkdirSync(own);
      writeFileSync(join(own, 'train.x'), new Uint8Array(data.train.x.buffer));
      writeFileSync(join(own, 'train.y'), new Uint8Array(data.train.y.buffer));
      const { shape, classes } = data;
      return { name, kind, folder: own, shape, classes, epochs, calibration };
    });
    writeFileSync(join(folder, 'jobs.json'), JSON.stringify(jobs));
    const script = join(root, 'test', 'support', 'python', 'tensorflow_files.py');
    await promisify(execFile)(python('tensorflow'), [script, join(folder, 'jobs.json')], {
      maxBuffer: 1 << 26,
    });
  }, 600_000);

  it.each(Object.keys(networks).flatMap((name) => quantizeModes.map((mode) => [name, mode] as const)))(
    '%s in %s: aiot’s file is not significantly less accurate, and at most 2 %% larger',
    (name, mode) => {
      const { data } = networks[name]!;
      const size = data.train.x.length / data.train.y.length;
      const rows = Array.from({ length: calibration }, (_, i) =>
        data.train.x.subarray(i * size, (i + 1) * size),
      );
      const ours = writeTflite(quantizeGraph(readTflite(theirs(name, 'float32')), rows, { mode }).graph);
      const peer = theirs(name, mode);
      const runtime = mode === 'dynamic' || mode === 'float16' ? 'litert' : 'tflm';
      const ran = runInPython<{ refused?: string }>(
        runtime,
        [ours, peer].map((graph) => ({ graph, input: data.test.x, real: true })),
      );
      const right = ran.map(({ output, report }) => {
        expect(report.refused).toBeUndefined();
        return correct(new Float32Array(output.slice().buffer), data);
      });
      const { mean, interval } = difference(right[0]!, right[1]!);
      const share = (hits: boolean[]) => hits.filter(Boolean).length / hits.length;
      process.stderr.write(
        `${name} ${mode}: ${ours.length} of ${peer.length} bytes, accuracy ${share(right[0]!).toFixed(4)} of ${share(right[1]!).toFixed(4)}\n`,
      );
      expect(share(right[1]!)).toBeGreaterThan(0.8);
      expect(mean + interval).toBeGreaterThanOrEqual(0);
      // No matter how many rows agree, a loss of more than two points is never noise.
      expect(mean).toBeGreaterThan(-0.02);
      expect(ours.length).toBeLessThanOrEqual(peer.length * 1.02);
    },
  );
});

/** Whether each test row was predicted correctly. */
function correct(outputs: Float32Array, { classes, test }: PeerData): boolean[] {
  expect(outputs.length).toBe(test.y.length * classes);
  return Array.from(test.y, (y, row) => {
    if (classes === 1) return (outputs[row]! > 0.5 ? 1 : 0) === y;
    const answer = outputs.subarray(row * classes, (row + 1) * classes);
    return answer.indexOf(Math.max(...answer)) === y;
  });
}

/** The mean of the paired differences of hits, and half the width of its 95 % interval. */
function difference(a: boolean[], b: boolean[]) {
  const differences = a.map((hit, i) => Number(hit) - Number(b[i]));
  const mean = differences.reduce((sum, value) => sum + value, 0) / a.length;
  const variance = differences.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (a.length - 1);
  return { mean, interval: 1.96 * Math.sqrt(variance / a.length) };
}
