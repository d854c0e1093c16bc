import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { root } from './cli.js';

/** Examples for training and for testing: rows of inputs one after another, and their classes. */
export interface PeerData {
  shape: number[];
  classes: number;
  train: { x: Float32Array; y: Int32Array };
  test: { x: Float32Array; y: Int32Array };
}

/**
 * A motor as the guide's dashboard sees it: current, temperature, vibration, sound, standardized; three rows in ten are an anomaly,
 * moved by 1.5 deviations and half as wide again. One probability.
 */
export function motorData(): PeerData {
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
 * Windows of 128 samples at 50 Hz (each the mean of two at 100 Hz) of the template's recordings: resting, walking, stairs. Every
 * fourth recording is for testing.
 */
export function motionData(): PeerData {
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
