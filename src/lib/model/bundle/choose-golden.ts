import type { Recording } from '../../data/index.js';
import { createPipeline, type SignalSpec, type Standardization } from '../../signal/index.js';
import { columnsFor } from '../train/examples/examples.js';
import { oneWindow, type Take } from './golden.js';
import type { End } from './types.js';

/** Vectors a class. */
export const vectorsPerClass = 3;
/** Offsets tried in each recording. */
const offsetsPerRecording = 4;
/** Rows of a table, of each class, that are looked at for vectors that lie clear. */
export const rowsTried = 64;
/** Distance of an input from the next rounding step, in steps, below which single precision may round elsewhere. */
const tieMargin = 1e-4;

interface Ready {
  signal: SignalSpec;
  standardization: Standardization;
  input: End;
}

/**
 * Takes of one window out of held-out recordings of one class: from different recordings first, and such that no input
 * lies on a rounding step, so that a chip computing in single precision must come to the same bytes.
 */
export function chooseGolden(recordings: Recording[], parts: Ready, wanted = vectorsPerClass): Take[] {
  const count = samplesOfOneWindow(parts.signal);
  const clear: Take[] = [];
  const others: Take[] = [];
  for (let turn = 0; turn < offsetsPerRecording && clear.length < wanted; turn++) {
    for (const recording of recordings) {
      if (clear.length === wanted) break;
      const room = (recording.columns[0]?.length ?? 0) - count;
      if (room < 0) continue;
      const offset = Math.floor((room * turn) / offsetsPerRecording);
      if (turn > 0 && offset === Math.floor((room * (turn - 1)) / offsetsPerRecording)) continue;
      const samples = slice(recording, parts.signal, offset, count);
      const take = { recording: recording.id, samples };
      (isClear(oneWindow(parts.signal, samples), parts) ? clear : others).push(take);
    }
  }
  return [...clear, ...others].slice(0, wanted);
}

/**
 * The same out of rows of a table, which are inputs as they stand.
 * @param sampled whether a row is one sample of the signal; otherwise it is its features, and nobody has the samples
 */
export function chooseGoldenRows(
  rows: { name: string; inputs: Float32Array }[],
  parts: Ready,
  sampled: boolean,
  wanted = vectorsPerClass,
): Take[] {
  const clear: Take[] = [];
  const others: Take[] = [];
  for (const { name, inputs } of rows) {
    if (clear.length === wanted) break;
    const take = { recording: name, samples: sampled ? [Array.from(inputs)] : [], features: inputs };
    (isClear(inputs, parts) ? clear : others).push(take);
  }
  return [...clear, ...others].slice(0, wanted);
}

/** Samples at `rateHz` that fill the first window after a reset. */
function samplesOfOneWindow(signal: SignalSpec): number {
  const pipeline = createPipeline(signal);
  const sample = signal.fields.map(() => 1);
  let count = 1;
  while (!pipeline.push(sample)) count++;
  return count;
}

/** Six digits are more than any sensor gives, and keep the bundle small. */
function slice(recording: Recording, signal: SignalSpec, offset: number, count: number): number[][] {
  const columns = columnsFor(recording, signal);
  return Array.from({ length: count }, (_, i) =>
    columns.map((column) => Number(column[offset + i]!.toPrecision(6))),
  );
}

/** Far from each rounding step. A float input has none. */
function isClear(features: ArrayLike<number> | null, { standardization, input }: Ready): boolean {
  if (!features) return false;
  if (input.type === 'float32') return true;
  const { mean, deviation } = standardization;
  for (let i = 0; i < features.length; i++) {
    const steps = (features[i]! - mean[i]!) / deviation[i]! / input.scale;
    if (Math.abs(steps - Math.floor(steps) - 0.5) <= tieMargin) return false;
  }
  return true;
}
