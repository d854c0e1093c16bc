import { foldsText, percent, plural, shareText, size } from '../../core/index.js';
import type { EvaluateResult } from '../../model/index.js';
import { classTable } from './class-table.js';
import { gateFacts } from './gates.js';
import { bold, yellow } from './style.js';
import { facts, table } from './text.js';

/** Figures, classes, confusion, worst windows and gates of a project's evaluation. */
export function evaluationText(result: EvaluateResult): string {
  const parts = [`${bold(result.model)}\n${scoreTable(result)}`];
  if (result.perClass.length > 0) parts.push(classTable(result, `${result.unit}s`));
  parts.push(facts([...certainty(result), ...gateFacts(result.gates)]));
  if (result.worst.length > 0) parts.push(worstTable(result));
  if (result.warnings.length > 0)
    parts.push(result.warnings.map((text) => `${yellow('!')} ${text}`).join('\n'));
  return parts.join('\n\n');
}

function scoreTable({ n, unit, float, int8, litert, voted, precision, output }: EvaluateResult): string {
  const isValue = output === 'value';
  const columns = isValue
    ? (['mae', 'rmse', 'r2'] as const)
    : (['accuracy', 'macroF1', 'auc', 'calibrationError'] as const);
  const titles = {
    accuracy: 'accuracy',
    macroF1: 'macro-F1',
    auc: 'AUC',
    calibrationError: 'calibration error',
    mae: 'mean abs. error',
    rmse: 'RMSE',
    r2: 'R²',
  };
  const all = [float, int8, litert];
  const told = columns.filter((column) => all.some((figures) => typeof figures[column] === 'number'));
  const row = (name: string, figures: EvaluateResult['int8']) => [
    name,
    ...told.map((column) => {
      const value = figures[column];
      if (value === null || value === undefined) return null;
      if (column === 'accuracy') return percent(value);
      return column === 'mae' || column === 'rmse' ? value.toPrecision(4) : value.toFixed(4);
    }),
  ];
  const rows = [
    row('float (LiteRT)', float),
    row(`${precision} (device)`, int8),
    row(`${precision} (LiteRT)`, litert),
    ...(voted ? [row(`${precision}, voted`, voted)] : []),
  ];
  return table([plural(n, `held-out ${unit}`), ...told.map((column) => titles[column])], rows);
}

function certainty(result: EvaluateResult): [string, string][] {
  const { n, unit, groups, accuracy, interval, intervals, folds, agreement, arenaBytes, bytes } = result;
  const lines: [string, string][] = [];
  const between = (of: [number, number], show: (value: number) => string) =>
    `${show(of[0])} to ${show(of[1])}`;
  if (accuracy !== null)
    lines.push(['Accuracy', shareText({ share: accuracy, cases: n, unit, groups, interval })]);
  else if (interval)
    lines.push([
      '95 % interval',
      `${between(interval, (value) => value.toPrecision(4))} (mean absolute error)`,
    ]);
  const { accuracy: linear = null, rmse = null } = result.baseline ?? {};
  if (linear !== null) lines.push(['Linear model', `${percent(linear)} of the same ${unit}s`]);
  if (rmse !== null) lines.push(['Linear model', `RMSE ${rmse.toPrecision(4)} on the same ${unit}s`]);
  const { macroF1 } = intervals;
  if (macroF1) lines.push(['Macro-F1', `95 %: ${between(macroF1, (value) => value.toFixed(3))}`]);
  lines.push([
    'By folds',
    folds ? foldsText(folds, unit) : 'not measured for these settings; aiot model train --folds 5',
  ]);
  if (agreement !== null)
    lines.push([
      'Agreement',
      `${percent(agreement)} of ${unit}s: device interpreter and LiteRT name the same class`,
    ]);
  lines.push(['Size', size(bytes)]);
  if (arenaBytes !== null) lines.push(['Arena', size(arenaBytes)]);
  return lines;
}

function worstTable({ worst, output }: EvaluateResult): string {
  const isPlaced = worst.some(({ window }) => window !== null);
  const score = output === 'value' ? 'error' : 'score of the truth';
  return table(
    ['worst', ...(isPlaced ? ['window'] : []), 'truth', 'answer', score],
    worst
      .slice(0, 5)
      .map(({ recording, window, truth, predicted, score }) => [
        recording,
        ...(isPlaced ? [window] : []),
        truth,
        predicted,
        score.toPrecision(3),
      ]),
  );
}
