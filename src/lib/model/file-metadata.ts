import { readMetadata, writeMetadata } from '../formats/tflite/metadata.js';
import type { Standardization } from '../signal/spec.js';
import type { TrainingFile } from './train/types.js';

/** Only metadata with this prefix is used. Normalization written by other tools is for images, and does not apply to rows. */
const mark = 'Made by aiot.';

/** TFLite metadata for a network made by aiot: the normalization of real values, and the classes. */
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

/**
 * Number of inputs after which the mean and deviation repeat. A field's samples share both values, so the metadata stores them once per
 * channel.
 */
function period(mean: readonly number[], deviation: readonly number[]): number {
  const repeats = (length: number) =>
    mean.length % length === 0 &&
    mean.every((value, i) => value === mean[i % length] && deviation[i] === deviation[i % length]);
  return mean.findIndex((_, i) => repeats(i + 1)) + 1 || mean.length;
}

/** Whether the standardization changes any input. */
export function isStandardizing({
  mean,
  deviation,
}: {
  mean: readonly number[];
  deviation: readonly number[];
}): boolean {
  return mean.some((value) => value !== 0) || deviation.some((value) => value !== 1);
}

/** The input standardization in a file's metadata; null if the file was not made by aiot or needs none. */
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
