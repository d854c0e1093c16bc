import { orderWarning, otherOrder } from './class-order.js';
import { type Answers, judge, unjudged, type Verdict } from './judge.js';
import { mapLabels, valuesOfLabels } from './labels.js';

/** Rows of a table, whose labels are text as yet. */
export interface TableAnswers
  extends Pick<Answers, 'kind' | 'outputs' | 'width' | 'inputs' | 'threshold' | 'groups'> {
  /** Null = the table has none. */
  labels: readonly string[] | null;
  /** Names of the classes, when somebody said them. */
  names: readonly string[] | null;
}

/** What a table says of a network, with sentences that whoever reads it should know. @throws AIOT_LABELS_UNFIT */
export function judgeTable(answers: TableAnswers): { verdict: Verdict; truth: Int32Array; notes: string[] } {
  const { labels, names, kind, width, threshold } = answers;
  const rows = answers.outputs.length / width;
  const none = new Int32Array(rows);
  if (labels === null) return { verdict: unjudged(rows), truth: none, notes: [] };
  if (kind === 'value') {
    const verdict = judge({ ...answers, truth: none, values: valuesOfLabels(labels), classes: [] });
    return { verdict, truth: none, notes: [] };
  }
  const count = kind === 'classes' ? width : 2;
  const { classes, truth, note } = mapLabels(labels, count, names);
  const verdict = judge({ ...answers, truth, classes });
  const notes = note === null ? [] : [note];
  if (kind === 'probability' && note !== null && verdict.auc !== null && verdict.auc < 0.5)
    notes.push(
      `the probability is smaller for ${classes[1]} than for ${classes[0]}: are they the other way round? --classes ${classes[1]},${classes[0]}`,
    );
  const other = kind === 'classes' ? otherOrder(classes, verdict.confusion) : null;
  if (other !== null) notes.push(orderWarning(other));
  const [first] = verdict.predicted ?? [];
  if (new Set(truth).size > 1 && verdict.predicted?.every((c) => c === first))
    notes.push(
      `every row got the same answer, ${classes[first!]}: are the rows scaled as those that the network was trained on?`,
    );
  if (kind === 'reconstruction' && threshold === null) notes.push('no accuracy without --threshold');
  return { verdict, truth, notes };
}
