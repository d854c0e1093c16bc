import { readMetadata, writeMetadata } from '../formats/index.js';
import type { Standardization } from '../signal/index.js';
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

/** The standardization that a file of ours says its inputs need; null where there is none to do, and for other makers' files. */
export function standardizationIn(metadata: Uint8Array | null, inputs: number): Standardization | null {
  const read = metadata && readMetadata(metadata);
  if (!read?.normalization || !read.description.startsWith(mark)) return null;
  const { mean, std } = read.normalization;
  if (mean.length === 0 || mean.length !== std.length || inputs % mean.length !== 0) return null;
  if (mean.every((value) => value === 0) && std.every((value) => value === 1)) return null;
  const all = (values: readonly number[]) =>
    Array.from({ length: inputs }, (_, i) => values[i % values.length]!);
  return { mean: all(mean), deviation: all(std) };
}

/**
 * Rows of a table as the network of a file takes them: a file of ours that says how its inputs are standardized gets them so,
 * because it was trained on such rows as they stand; any other gets them as they are.
 * @returns a copy, or `inputs` itself
 */
export function rowsTaken(inputs: Float32Array, size: number, metadata: Uint8Array | null): Float32Array {
  const by = standardizationIn(metadata, size);
  if (by === null) return inputs;
  // Not the signal room's function: whoever quantizes a file need not load all features.
  return inputs.map((value, i) => (value - by.mean[i % size]!) / by.deviation[i % size]!);
}
