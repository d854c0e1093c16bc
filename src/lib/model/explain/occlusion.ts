import { sharesOf } from '../evaluate/calibration.js';
import { reconstructionErrors } from '../evaluate/judge.js';
import { predictRows } from '../evaluate/predict.js';
import type { Layout } from './layout.js';
import type { Explanation } from './result.js';
import type { Subject } from './subject.js';

/** Stretches that a window is divided into at most. */
const mostParts = 20;

interface Part {
  name: string;
  /** Inputs of each field (of features: of the one row). */
  inputs: number[][];
}

/**
 * Occlusion (Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014): each part of the input is
 * replaced by its mean over the rows, and what the true class loses of its share is averaged over the rows of that class.
 */
export function occlusionSaliency(subject: Subject, signal?: AbortSignal): Explanation['saliency'] {
  const { inputs, network, truth, kind } = subject;
  const { fields, parts, over } = partsOf(subject.layout);
  const width = network.inputs;
  const mean = meansOf(inputs, width);
  const before = scores(subject, inputs, signal);
  const names = kind === 'value' ? ['the value'] : subject.classes;
  const members = names.map((_, c) => rowsOf(truth, kind === 'value' ? null : c));
  const values = names.map(() => fields.map(() => parts.map(() => 0)));
  parts.forEach((part, p) => {
    fields.forEach((_, f) => {
      const changed = inputs.slice();
      for (let row = 0; row < truth.length; row++)
        for (const place of part.inputs[f]!) changed[row * width + place] = mean[place]!;
      const after = scores(subject, changed, signal);
      members.forEach((rows, c) => {
        const lost = rows.reduce((sum, row) => sum + (before[row]! - after[row]!), 0);
        values[c]![f]![p] = rows.length === 0 ? 0 : lost / rows.length;
      });
    });
  });
  return {
    over,
    fields,
    parts: parts.map(({ name }) => name),
    classes: names.map((name, c) => ({ class: name, n: members[c]!.length, values: values[c]! })),
  };
}

function partsOf({ groups, window }: Layout): { fields: string[]; parts: Part[]; over: 'time' | 'features' } {
  if (window === null) {
    const parts = groups.map(({ name, inputs }) => ({ name, inputs: [inputs] }));
    return { fields: [''], parts, over: 'features' };
  }
  const { fields, samples, rateHz } = window;
  const count = Math.min(mostParts, samples);
  const parts = Array.from({ length: count }, (_, p) => {
    const [from, to] = [Math.floor((p * samples) / count), Math.floor(((p + 1) * samples) / count)];
    const name = rateHz === null ? `sample ${from}` : `${(from / rateHz).toFixed(2)} s`;
    const inputs = fields.map((_, f) =>
      Array.from({ length: to - from }, (__, i) => (from + i) * fields.length + f),
    );
    return { name, inputs };
  });
  return { fields, parts, over: 'time' };
}

/** What each row has to lose: the share of its true class, its value, or minus its reconstruction error. */
function scores(
  { network, kind, truth }: Subject,
  inputs: Float32Array,
  signal?: AbortSignal,
): ArrayLike<number> {
  const outputs = predictRows(network, inputs, signal);
  const width = network.outputs;
  if (kind === 'reconstruction') return reconstructionErrors(inputs, outputs, width).map((error) => -error);
  if (kind === 'value') return Float64Array.from(truth, (_, row) => outputs[row * width]!);
  if (kind === 'probability')
    return Float64Array.from(truth, (c, row) => (c === 1 ? outputs[row]! : 1 - outputs[row]!));
  const shares = sharesOf(outputs, width);
  return Float64Array.from(truth, (c, row) => shares[row * width + c]!);
}

function meansOf(inputs: Float32Array, width: number): Float64Array {
  const mean = new Float64Array(width);
  const rows = inputs.length / width;
  for (let i = 0; i < inputs.length; i++) mean[i % width]! += inputs[i]! / rows;
  return mean;
}

function rowsOf(truth: Int32Array, wanted: number | null): number[] {
  return Array.from(truth, (_, row) => row).filter((row) => wanted === null || truth[row] === wanted);
}
