import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './cli.js';

/**
 * Folder of third-party models, with files made by TensorFlow's converter, and LiteRT's outputs (see its
 * README).
 */
export const motorFolder = join(root, 'test', 'fixtures', 'motor-mlp');
export const motorFile = (name: string) => readFileSync(join(motorFolder, name));

/** The standardized test rows of the motor data, and LiteRT's probability for each. */
export function motorRows(predictions: string): { x: Float32Array; y: number }[] {
  const { mean, std } = JSON.parse(motorFile('weights.json').toString()) as { mean: number[]; std: number[] };
  const answers = motorFile(predictions).toString().trim().split('\n').map(Number);
  const lines = motorFile('test.csv').toString().trim().split('\n').slice(1);
  return lines.map((line, row) => {
    const values = line.split(',').slice(0, 4).map(Number);
    return { x: Float32Array.from(values.map((value, i) => (value - mean[i]!) / std[i]!)), y: answers[row]! };
  });
}
