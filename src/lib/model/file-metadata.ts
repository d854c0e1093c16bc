import { readMetadata, writeMetadata } from '../formats/tflite/metadata.js';
import type { Standardization } from '../signal/spec.js';
import type { TrainingFile } from './train/types.js';

/** How the metadata of our own files begins: other makers' normalization is of images, and rows are past it. */
const mark = 'Made by aiot.';

/** What a reader of TFLite metadata is told of a network of ours: the normalization of real values, and the classes. */
export function metadataOf({
  model,
  classes,
  standardization,
  network,
}: Pick<TrainingFile, 'model' | 'classes' | 'standardization' | 'network'>): Uint8Array {
  const { mean, deviation } = standardization;
  const channels = period(mean, deviation);
  return writeMetadata({
    name: model,
    description: `${mark} Input: (x - mean) / std, then its own scale and zero point.`,
    normalization: { mean: mean.slice(0, channels), std: deviation.slice(0, channels) },
    output: classes.length === 0 ? network.output.kind : `${network.output.kind}: ${classes.join(', ')}`,
  });
}

/** After how many inputs the normalization repeats: samples of a field share theirs, and the schema has one per channel. */
function period(mean: readonly number[], deviation: readonly number[]): number {
  const repeats = (length: number) =>
    mean.length % length === 0 &&
    mean.every((value, i) => value === mean[i % length] && deviation[i] === deviation[i % length]);
  return mean.findIndex((_, i) => repeats(i + 1)) + 1 || mean.length;
}

/** Whether it changes anything. */
export function isStandardizing({
  mean,
  deviation,
}: {
  mean: readonly number[];
  deviation: readonly number[];
}): boolean {
  return mean.some((value) => value !== 0) || deviation.some((value) => value !== 1);
}

/** The standardization that a file of ours says its inputs need; null where there is none to do, and for other makers' files. */
export function standardizationIn(metadata: Uint8Array | null, inputs: number): Standardization | null {
  const read = metadata && readMetadata(metadata);
  if (!read?.normalization || !read.description.startsWith(mark)) return null;
  const { mean, std } = read.normalization;
  if (mean.length === 0 || mean.length !== std.length || inputs % mean.length !== 0) return null;
  if (!isStandardizing({ mean, deviation: std })) return null;
  const all = (values: readonly number[]) =>
    Array.from({ length: inputs }, (_, i) => values[i % values.length]!);
  return { mean: all(mean), deviation: all(std) };
}

/**
 * Rows of a table as the network of a file takes them: a file of ours that says how its inputs are standardized gets them so,
 * because it was trained on such rows as they stand; any other gets them as they are.
 * @returns a copy, or `inputs` itself; whether they were standardized; and a warning where they seem to have been before
 */
export function rowsTaken(inputs: Float32Array, size: number, metadata: Uint8Array | null): RowsTaken {
  const by = standardizationIn(metadata, size);
  if (by === null) return { inputs, standardized: false, warnings: [] };
  // Not the signal room's function: whoever quantizes a file need not load all features.
  const taken = inputs.map((value, i) => (value - by.mean[i % size]!) / by.deviation[i % size]!);
  const twice = isStandard(inputs, size) && !isStandard(taken, size);
  const warning =
    'the rows seem standardized already (mean 0, deviation 1), and this file standardizes them itself: give them as they were measured';
  return { inputs: taken, standardized: true, warnings: twice ? [warning] : [] };
}

export interface RowsTaken {
  inputs: Float32Array;
  standardized: boolean;
  warnings: string[];
}

/** Whether nearly every column has about the mean 0 and the deviation 1; of a few rows nobody can tell. */
function isStandard(inputs: Float32Array, size: number): boolean {
  const rows = inputs.length / size;
  if (rows < 10) return false;
  let standard = 0;
  for (let column = 0; column < size; column++) {
    let [sum, squares] = [0, 0];
    for (let i = column; i < inputs.length; i += size) {
      sum += inputs[i]!;
      squares += inputs[i]! ** 2;
    }
    const mean = sum / rows;
    const deviation = Math.sqrt(Math.max(0, squares / rows - mean ** 2));
    if (Math.abs(mean) < 0.5 && deviation > 0.5 && deviation < 1.5) standard++;
  }
  return standard >= 0.9 * size;
}
