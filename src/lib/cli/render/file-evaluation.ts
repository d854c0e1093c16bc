import { shareText, size, thousands } from '../../core/index.js';
import type { FileEvaluation } from '../../model/index.js';
import { classTable } from './class-table.js';
import { gateFacts } from './gates.js';
import { bold, yellow } from './style.js';
import { facts, table } from './text.js';

/** Figures of one file over the rows of a table. */
export function fileEvaluationText(result: FileEvaluation): string {
  const where = { litert: 'LiteRT', device: 'the device interpreter' }[result.runtime];
  const lead: [string, string][] = [
    ['Network', `${result.precision}, ${size(result.bytes)}, answers with ${kinds[result.output]}`],
    [
      'Rows',
      `${thousands(result.n)} of ${result.data}, on ${where}${result.standardized ? ', standardized with the mean and deviation in the file' : ''}`,
    ],
    ...figureLines(result),
    ...gateFacts(result.gates),
    ...(result.outputs === null ? [] : [['Outputs', result.outputs] as [string, string]]),
  ];
  const parts = [`${bold(result.file)}\n${facts(lead)}`];
  if (result.perClass.length > 0) parts.push(classTable(result, 'rows'));
  if (result.worst.length > 0) parts.push(worstTable(result));
  if (result.warnings.length > 0)
    parts.push(result.warnings.map((text) => `${yellow('!')} ${text}`).join('\n'));
  return parts.join('\n\n');
}

const kinds = {
  classes: 'classes',
  probability: 'one probability',
  value: 'a value',
  reconstruction: 'a reconstruction',
} as const;

function figureLines(result: FileEvaluation): [string, string][] {
  const { n, groups, accuracy, macroF1, auc, interval, intervals, calibrationError, mae, rmse, r2 } = result;
  const between = (of: [number, number] | null, show: (value: number) => string) =>
    of === null ? '' : `, 95 % interval ${show(of[0])} to ${show(of[1])}`;
  const score = (value: number) => value.toFixed(4);
  const lines: [string, string][] = [];
  if (accuracy !== null)
    lines.push(['Accuracy', shareText({ share: accuracy, cases: n, unit: 'row', groups, interval })]);
  if (macroF1 !== null) lines.push(['Macro-F1', score(macroF1) + between(intervals.macroF1, score)]);
  if (auc !== null) lines.push(['AUC', score(auc) + between(intervals.auc, score)]);
  if (calibrationError !== null)
    lines.push(['Calibration', `${score(calibrationError)} expected error of the confidence`]);
  if (mae !== null && rmse !== null) {
    const short = (value: number) => value.toPrecision(4);
    lines.push(['Mean error', short(mae) + between(interval, short)], ['RMSE', short(rmse)]);
  }
  if (r2 !== null) lines.push(['R²', score(r2)]);
  return lines;
}

function worstTable({ worst, output }: FileEvaluation): string {
  const score = output === 'value' ? 'error' : 'score of the truth';
  return table(
    ['worst row', 'truth', 'answer', score],
    worst.slice(0, 5).map((row) => [row.row, row.truth, row.predicted, row.score.toPrecision(3)]),
  );
}
