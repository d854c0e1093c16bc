import { AiotError } from '../../core/errors.js';
import { elementCount, type Graph } from '../../formats/tflite/graph.js';
import {
  compareObjects,
  detectionsIn,
  emptyCounts,
  type ObjectGrid,
  type ObjectPoint,
} from '../bundle/detections.js';
import { bootstrapInterval, pairedDifference } from '../evaluate/intervals.js';
import { mapLabels, type OtherOrder, orderWarning, otherOrder } from '../evaluate/labels.js';
import { outputKindOf } from '../evaluate/result.js';
import type { Loss } from './result.js';
import { createRunner } from './runner.js';

/** Criterion for a correct prediction: the largest of several classes, or which side of a threshold a single number is on. */
export type Answer =
  | { kind: 'classes' }
  | { kind: 'probability'; threshold: number }
  | { kind: 'reconstruction'; threshold: number };

/** Pictures with their objects. A prediction is correct if all objects are found without other detections. */
export function evaluationOfObjects(
  rows: readonly Float32Array[],
  truth: readonly (readonly ObjectPoint[])[],
  { layout, threshold, classes }: { layout: ObjectGrid; threshold: number; classes: number },
): Evaluation {
  return {
    rows,
    groups: null,
    right: (row, output) =>
      compareObjects(detectionsIn(output, layout, threshold), truth[row]!, layout, emptyCounts(classes)),
  };
}

/** Rows with their expected classes. `groups`: each row's group; null if rows are independent. */
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

interface LabelledRows {
  rows: readonly Float32Array[];
  labels: readonly string[];
  groups: readonly string[] | null;
  /** Class names in the order of the outputs, if specified. */
  names: readonly string[] | null;
  /** Whether a limit depends on the predictions. An implausible order of classes is then an error, not only a warning. */
  limited: boolean;
}

/**
 * Rows of a table with their labels: several outputs are classes, one is a probability.
 * @throws AIOT_QUANTIZE_UNFIT for a network that predicts a value or has several outputs; AIOT_LABELS_UNFIT if labels do not match the
 * classes, or if there is a limit, classes are unnamed, and another order fits far better
 */
export function evaluationOfTable(
  graph: Graph,
  { rows, labels, groups, names, limited }: LabelledRows,
): { evaluation: Evaluation; notes: string[] } {
  if (graph.outputs.length > 1)
    throw new AiotError(
      'AIOT_QUANTIZE_UNFIT',
      `labels belong to one output, but this model has ${graph.outputs.length}`,
      { next: 'Omit --label, --max-loss and --evaluate: sqnrDb shows how close the outputs are.' },
    );
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

/** The error for classes that seem to be in another order. The measured loss would be meaningless, yet might appear to meet the limit. */
function unlikely(other: OtherOrder): AiotError {
  return new AiotError(
    'AIOT_LABELS_UNFIT',
    `--max-loss counts correct predictions, but ${orderWarning(other)}`,
    {
      next: `List the classes in the order of the outputs, here or in their current order: --classes ${other.classes.join(',')}`,
    },
  );
}

export function noAnswer(kind: string): AiotError {
  return new AiotError(
    'AIOT_QUANTIZE_UNFIT',
    `--max-loss counts correct predictions, but this model outputs a ${kind}`,
    {
      next: 'Omit --max-loss: sqnrDb shows how close the outputs are.',
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

/** Labeled rows, and a check of whether an output is correct for a row. */
export interface Evaluation {
  rows: readonly Float32Array[];
  right(row: number, output: Float32Array): boolean;
  /** Each row's group (a recording); null if rows are independent. */
  groups: readonly string[] | null;
  /** Whether ranges were also calibrated on these rows, which makes the measured loss optimistic. */
  calibrated?: boolean;
}

/** For each row, whether the network predicts it correctly. */
export function hits(graph: Graph, { rows, right }: Evaluation): boolean[] {
  const runner = createRunner(graph);
  return rows.map((row, at) => right(at, runner.run(row)));
}

/**
 * The cost of quantization: float − quantized accuracy in percentage points, with a 95 % interval. Both networks run on the same rows, so
 * the interval depends only on the rows that exactly one network predicts correctly (Agresti and Min 2005). If rows belong to groups, the
 * interval is a bootstrap over the groups, because rows of one recording are similar.
 */
export function lossOf(
  float: readonly boolean[],
  quantized: readonly boolean[],
  groups: Evaluation['groups'],
  limit: number | null,
): Omit<Loss, 'calibrated'> {
  const rows = float.length;
  const paired = pairedDifference(
    rows,
    (row) => float[row]!,
    (row) => quantized[row]!,
  );
  const share = (of: readonly boolean[]) => of.filter(Boolean).length / Math.max(1, rows);
  const points = round(-100 * paired.difference);
  // If the networks never differ, resampling groups cannot estimate how often they might.
  const differ = paired.onlyARight + paired.onlyBRight > 0;
  const clustered =
    groups !== null &&
    differ &&
    new Set(groups).size < rows &&
    bootstrapInterval(rows, groups, (weights) => {
      let [lost, whole] = [0, 0];
      for (let row = 0; row < rows; row++) {
        const weight = weights[row]!;
        lost += weight * (Number(float[row]) - Number(quantized[row]));
        whole += weight;
      }
      return whole === 0 ? 0 : lost / whole;
    });
  const [low, high] = clustered || [-paired.interval[1], -paired.interval[0]];
  return {
    rows,
    float: share(float),
    quantized: share(quantized),
    points,
    interval: [round(100 * low), round(100 * high)],
    method: clustered ? 'bootstrap over groups of rows' : 'paired proportions (Agresti and Min)',
    limit,
    passed: limit === null ? null : points <= limit,
  };
}

function round(points: number): number {
  // Adding 0 turns −0 into 0.
  return Math.round(points * 1000) / 1000 + 0;
}
