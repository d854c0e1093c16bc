import { AiotError } from '../../core/index.js';
import { elementCount, type Graph } from '../../formats/index.js';
import { type OtherOrder, orderWarning, otherOrder } from '../evaluate/class-order.js';
import { mapLabels } from '../evaluate/labels.js';
import { outputKindOf } from '../evaluate/output-kind.js';
import type { Evaluation } from './evaluation.js';
import { createRunner } from './run.js';

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

export interface LabelledRows {
  rows: readonly Float32Array[];
  labels: readonly string[];
  groups: readonly string[] | null;
  /** Names of the classes in the order of the outputs, when somebody said them. */
  names: readonly string[] | null;
  /** Whether a limit hangs on the answers: then an order of classes that hardly fits is refused, not only told. */
  limited: boolean;
}

/**
 * Rows of a table with their labels: several outputs are classes, one is a probability.
 * @throws AIOT_QUANTIZE_UNFIT for a network that gives a value; AIOT_LABELS_UNFIT, also where nobody named the classes, a
 *   limit is to be kept and another order fits far better
 */
export function evaluationOfTable(
  graph: Graph,
  { rows, labels, groups, names, limited }: LabelledRows,
): { evaluation: Evaluation; notes: string[] } {
  const kind = outputKindOf(graph, labels);
  if (kind !== 'classes' && kind !== 'probability') throw noAnswer(kind);
  const count = kind === 'classes' ? elementCount(graph.tensors[graph.outputs[0]!]!.shape) : 2;
  const { classes, truth, note } = mapLabels(labels, count, names);
  const answer: Answer = kind === 'classes' ? { kind } : { kind, threshold: 0.5 };
  const other = otherOrder(classes, confusionOf(graph, rows, truth, answer, classes.length));
  if (other !== null && limited && names === null) throw unlikely(other);
  const notes = [...(note === null ? [] : [note]), ...(other === null ? [] : [orderWarning(other)])];
  return { evaluation: evaluationOf(rows, truth, answer, groups), notes };
}

function confusionOf(
  graph: Graph,
  rows: readonly Float32Array[],
  truth: ArrayLike<number>,
  answer: Answer,
  count: number,
): number[][] {
  const runner = createRunner(graph);
  const confusion = Array.from({ length: count }, () => new Array<number>(count).fill(0));
  rows.forEach((row, at) => {
    confusion[truth[at]!]![classOf(runner.run(row), row, answer)]! += 1;
  });
  return confusion;
}

/** A loss of wrongly numbered classes says nothing, and looks as if the limit were kept. */
function unlikely(other: OtherOrder): AiotError {
  return new AiotError('AIOT_LABELS_UNFIT', `--max-loss counts right answers, and ${orderWarning(other)}`, {
    next: `Name the classes in the order of the outputs, as here or as they are: --classes ${other.classes.join(',')}`,
  });
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
