import { seededRandom, shuffled } from '../../core/index.js';
import { type Answers, judge } from '../evaluate/judge.js';
import { predictRows, type RunningNetwork } from '../evaluate/predict.js';
import type { Layout } from './layout.js';

/** A network with labelled rows that it is to be explained on. */
export interface Subject extends Pick<Answers, 'kind' | 'truth' | 'values' | 'classes' | 'threshold'> {
  network: RunningNetwork;
  /** [rows × network.inputs]: what the network takes. */
  inputs: Float32Array;
  layout: Layout;
}

export type Metric = 'macroF1' | 'auc' | 'mae';

/** Which figure tells how well the network does on these rows. */
export function metricOf({ kind, threshold }: Subject): Metric {
  if (kind === 'value') return 'mae';
  return kind === 'reconstruction' && threshold === null ? 'auc' : 'macroF1';
}

/** That figure, with these inputs in place of the rows' own. */
export function scoreOf(
  subject: Subject,
  inputs: Float32Array,
  metric: Metric,
  signal?: AbortSignal,
): number {
  const outputs = predictRows(subject.network, inputs, signal);
  const verdict = judge({ ...subject, inputs, outputs, width: subject.network.outputs, resample: false });
  return verdict[metric] ?? 0;
}

/** Rows drawn by chance where there are more than `most`, in their order; the same for the same seed. */
export function thinned(subject: Subject, most: number, seed: number): Subject {
  const { truth, inputs, values, network } = subject;
  if (truth.length <= most) return subject;
  const all = Array.from(truth, (_, row) => row);
  const rows = shuffled(all, seededRandom(seed))
    .slice(0, most)
    .sort((a, b) => a - b);
  const width = network.inputs;
  const picked = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    picked.set(inputs.subarray(row * width, (row + 1) * width), i * width);
  });
  const each = values ? values.length / truth.length : 0;
  return {
    ...subject,
    inputs: picked,
    truth: Int32Array.from(rows, (row) => truth[row]!),
    values:
      values &&
      Float64Array.from(
        rows.flatMap((row) => Array.from({ length: each }, (_, i) => values[row * each + i]!)),
      ),
  };
}
