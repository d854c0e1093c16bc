import { conditioned } from '../../signal/index.js';
import type { Dataset, Recording } from '../types.js';
import { movingSizes, settlingCycles, withoutLevel } from './band.js';

/** Samples a second of a coarse outline, and the highest frequency in an outline. */
const coarseHz = 10;
const outlineLowpassHz = 2;

export interface Outlines {
  /** One signal a recording, in the dataset's order, at `rateHz`. */
  coarse: Float64Array[];
  rateHz: number;
  /** The same at the recordings' own rate, made when asked for. */
  fine(index: number): Float64Array;
}

/**
 * What moves in a recording, slowly and all fields in one signal: low-passed, thinned out, differences instead of levels
 * (two recordings that warm up alike are no copies), each field scaled by its size in the whole dataset.
 */
export function outlinesOf(dataset: Dataset): Outlines {
  const { recordings } = dataset;
  const rateHz = Math.min(dataset.rateHz, coarseHz);
  const moves = recordings.map((recording) => movesOf(recording, rateHz));
  const sizes = movingSizes(
    dataset.fields.map((_, f) => rootMeanSquare(moves.map((columns) => columns[f]!))),
    recordings,
  );
  // Unequal weights: equal and opposite moves of two axes must not cancel out.
  const weights = sizes.map((size, f) => (size > 0 ? 0.8 ** f / size : 0));
  const fine = new Map<number, Float64Array>();
  return {
    coarse: moves.map((columns) => blend(columns, weights)),
    rateHz,
    fine(index) {
      const made = fine.get(index) ?? blend(movesOf(recordings[index]!, dataset.rateHz), weights);
      fine.set(index, made);
      return made;
    },
  };
}

function movesOf({ fields, rateHz, columns }: Recording, resampleHz: number): Float64Array[] {
  const lowpassHz = rateHz > 2 * outlineLowpassHz ? outlineLowpassHz : null;
  const slow = conditioned(
    { fields, rateHz, lowpassHz, resampleHz, windowSamples: 1, strideSamples: 1, features: 'raw' },
    withoutLevel(columns),
  );
  // What a filter makes of a beginning has one shape in all recordings, and is larger than what it lets through of a fast vibration.
  const settled = lowpassHz === null ? 0 : Math.ceil((settlingCycles / lowpassHz) * resampleHz);
  return slow.map((column) => {
    const out = new Float64Array(Math.max(0, column.length - 1));
    for (let i = settled; i < out.length; i++) out[i] = column[i + 1]! - column[i]!;
    return out;
  });
}

function rootMeanSquare(signals: Float64Array[]): number {
  let sum = 0;
  let count = 0;
  for (const signal of signals) {
    for (const x of signal) sum += x * x;
    count += signal.length;
  }
  return Math.sqrt(sum / Math.max(1, count));
}

function blend(columns: Float64Array[], weights: number[]): Float64Array {
  const out = new Float64Array(columns[0]?.length ?? 0);
  columns.forEach((column, f) => {
    for (let i = 0; i < out.length; i++) out[i] = out[i]! + weights[f]! * column[i]!;
  });
  return out;
}
