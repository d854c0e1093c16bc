import { errorMaker } from '../../../core/errors.js';
import type { Graph } from '../../../formats/tflite/graph.js';
import { createInterpreter } from '../../../runtime/interpreter/interpreter.js';
import { floatView } from '../../../runtime/litert.js';
import type { Range } from './numbers.js';
import { stateFollower } from './recurrent.js';

export const unfit = errorMaker('AIOT_QUANTIZE_UNFIT');

/** Statistics of one activation over the representative rows. */
export interface Seen extends Range {
  /** Evenly spaced sample of the values over all rows, ascending; at most `sampleRoom`. */
  samples: Float32Array;
  /** Mean of each element over the rows, and its largest magnitude, with one entry per element of the tensor. */
  mean: Float64Array;
  largest: Float64Array;
  /** The rows with the smallest and the largest value. */
  extremes: [low: number, high: number];
}

const sampleRoom = 4096;

/**
 * Runs a float network on the representative rows and collects statistics for every activation.
 * @returns statistics by tensor index
 * @throws AIOT_QUANTIZE_UNFIT without rows, or if a value overflows; AIOT_TFLITE_INPUT for a row that does not fit
 */
export function calibrate(graph: Graph, rows: readonly Float32Array[]): Map<number, Seen> {
  if (rows.length === 0) throw unfit('expected representative inputs, got none');
  const interpreter = createInterpreter(floatView(graph), { compiled: true });
  const notes: (Note | undefined)[] = [];
  const observe = (at: number, index: number, values: Float32Array) => {
    notes[index] ??= newNote(values.length, rows.length);
    const note = notes[index]!;
    const { low, high } = note;
    take(note, values);
    if (note.low < low) note.extremes[0] = at;
    if (note.high > high) note.extremes[1] = at;
    if (!Number.isFinite(note.low) || !Number.isFinite(note.high) || Number.isNaN(note.sum))
      throw unfit(
        `tensor ${graph.tensors[index]?.name} became ${values.find((value) => !Number.isFinite(value))}`,
      );
  };
  const statesAfter = stateFollower(graph, interpreter.tensors);
  rows.forEach((row, at) => {
    interpreter.invoke(row, (index, values) => {
      // Indices and conditions have no range.
      if (index >= graph.tensors.length || !(values instanceof Float32Array)) return;
      observe(at, index, values);
      for (const [state, each] of statesAfter(index)) observe(at, state, each);
    });
  });
  const seen = new Map<number, Seen>();
  notes.forEach((note, index) => {
    if (note === undefined) return;
    const { low, high, samples, filled, mean, largest, extremes } = note;
    for (let i = 0; i < mean.length; i++) mean[i]! /= rows.length;
    seen.set(index, { low, high, samples: samples.subarray(0, filled).sort(), mean, largest, extremes });
  });
  return seen;
}

interface Note extends Seen {
  filled: number;
  /** Every `step`-th value is sampled; `next` counts down to the next sample. */
  step: number;
  next: number;
  sum: number;
}

function newNote(size: number, rows: number): Note {
  // Usually coprime to the size, so that the sampling covers all elements.
  const step = Math.max(1, Math.ceil((size * rows) / sampleRoom)) | 1;
  return {
    low: Number.POSITIVE_INFINITY,
    high: Number.NEGATIVE_INFINITY,
    samples: new Float32Array(Math.ceil((size * rows) / step)),
    mean: new Float64Array(size),
    largest: new Float64Array(size),
    extremes: [0, 0],
    filled: 0,
    step,
    next: 1,
    sum: 0,
  };
}

function take(note: Note, values: Float32Array): void {
  const { mean, largest, samples, step } = note;
  let { low, high, next, filled, sum } = note;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value < low) low = value;
    if (value > high) high = value;
    mean[i]! += value;
    sum += value;
    const size = value < 0 ? -value : value;
    if (size > largest[i]!) largest[i] = size;
    if (--next === 0) {
      samples[filled++] = value;
      next = step;
    }
  }
  Object.assign(note, { low, high, next, filled, sum });
}
