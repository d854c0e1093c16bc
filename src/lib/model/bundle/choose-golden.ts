import type { Recording } from '../../data/index.js';
import { createPipeline, type SignalSpec, type Standardization } from '../../signal/index.js';
import { columnsFor } from '../train/examples.js';
import { oneWindow } from './golden.js';

/** Vectors a class. */
export const vectorsPerClass = 3;
/** Offsets tried in each recording. */
const offsetsPerRecording = 4;
/** Distance of an input from the next rounding step, in steps, below which single precision may round elsewhere. */
const tieMargin = 1e-4;

interface Ready {
  signal: SignalSpec;
  standardization: Standardization;
  input: { scale: number; zeroPoint: number };
}

/**
 * Takes of one window out of held-out recordings of one class: from different recordings first, and such that no input
 * lies on a rounding step, so that a chip computing in single precision must come to the same bytes.
 */
export function chooseGolden(
  recordings: Recording[],
  parts: Ready,
): { recording: string; samples: number[][] }[] {
  const count = samplesOfOneWindow(parts.signal);
  const clear: { recording: string; samples: number[][] }[] = [];
  const others: typeof clear = [];
  for (let turn = 0; turn < offsetsPerRecording && clear.length < vectorsPerClass; turn++) {
    for (const recording of recordings) {
      if (clear.length === vectorsPerClass) break;
      const room = (recording.columns[0]?.length ?? 0) - count;
      if (room < 0) continue;
      const offset = Math.floor((room * turn) / offsetsPerRecording);
      if (turn > 0 && offset === Math.floor((room * (turn - 1)) / offsetsPerRecording)) continue;
      const samples = slice(recording, parts.signal, offset, count);
      const vector = { recording: recording.id, samples };
      (farFromTies(samples, parts) ? clear : others).push(vector);
    }
  }
  return [...clear, ...others].slice(0, vectorsPerClass);
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

function farFromTies(samples: number[][], { signal, standardization, input }: Ready): boolean {
  const features = oneWindow(signal, samples);
  if (!features) return false;
  const { mean, deviation } = standardization;
  return features.every((feature, i) => {
    const steps = (feature - mean[i]!) / deviation[i]! / input.scale;
    return Math.abs(steps - Math.floor(steps) - 0.5) > tieMargin;
  });
}
