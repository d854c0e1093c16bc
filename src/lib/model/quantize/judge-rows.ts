import { AiotError } from '../../core/index.js';
import { elementCount, type Graph } from '../../formats/index.js';
import { mapLabels } from '../evaluate/labels.js';
import { outputKindOf } from '../evaluate/output-kind.js';
import type { Evaluation } from './evaluation.js';

/** How an answer counts as right: the largest of several classes, or the side of a threshold that one number is on. */
export type Answer =
  | { kind: 'classes' }
  | { kind: 'probability'; threshold: number }
  | { kind: 'reconstruction'; threshold: number };

/** Rows with the class that each should get. `groups`: what each row belongs to, null where it stands for itself. */
export function evaluationOf(
  rows: readonly Float32Array[],
  truth: ArrayLike<number>,
  answer: Answer,
  groups: readonly string[] | null,
): Evaluation {
  return {
    rows,
    groups,
    right: (row, output) => classOf(output, rows[row]!, answer) === truth[row],
  };
}

/**
 * Rows of a table with their labels: several outputs are classes, one is a probability.
 * @throws AIOT_QUANTIZE_UNFIT for a network that gives a value, AIOT_LABELS_UNFIT
 */
export function evaluationOfTable(
  graph: Graph,
  rows: readonly Float32Array[],
  labels: readonly string[],
  groups: readonly string[] | null,
): { evaluation: Evaluation; note: string | null } {
  const kind = outputKindOf(graph, labels);
  if (kind !== 'classes' && kind !== 'probability') throw noAnswer(kind);
  const count = kind === 'classes' ? elementCount(graph.tensors[graph.outputs[0]!]!.shape) : 2;
  const { truth, note } = mapLabels(labels, count, null);
  const answer: Answer = kind === 'classes' ? { kind } : { kind, threshold: 0.5 };
  return { evaluation: evaluationOf(rows, truth, answer, groups), note };
}

export function noAnswer(kind: string): AiotError {
  return new AiotError(
    'AIOT_QUANTIZE_UNFIT',
    `--max-loss counts right answers, and this network gives a ${kind}`,
    {
      next: 'Leave --max-loss out: sqnrDb tells how close the outputs stay.',
    },
  );
}

function classOf(output: Float32Array, row: Float32Array, answer: Answer): number {
  if (answer.kind === 'probability') return Number(output[0]! >= answer.threshold);
  if (answer.kind === 'reconstruction') {
    let error = 0;
    for (let i = 0; i < row.length; i++) error += (row[i]! - output[i]!) ** 2;
    return Number(error / row.length > answer.threshold);
  }
  let best = 0;
  for (let c = 1; c < output.length; c++) if (output[c]! > output[best]!) best = c;
  return best;
}
