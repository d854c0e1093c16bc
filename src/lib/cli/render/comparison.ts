import { percent, plural, size, thousands } from '../../core/index.js';
import type { Comparison } from '../../model/index.js';
import { bold, dim } from './style.js';
import { facts, table } from './text.js';

/** Two models beside each other, and where they disagree. */
export function comparisonText(result: Comparison): string {
  const { a, b, data, n, paired, disagreement, notes, largestDifference } = result;
  const parts = [`${bold('A')}  ${a.file}\n${bold('B')}  ${b.file}`, sides(result)];
  const lines: [string, string][] = [];
  if (data !== null) lines.push(['Rows', `${thousands(n)} of ${data}`]);
  if (paired)
    lines.push(
      [
        'Accuracy, B − A',
        `${points(paired.difference)}, 95 % interval ${points(paired.interval[0])} to ${points(paired.interval[1])}`,
      ],
      [
        'Right alone',
        `A in ${plural(paired.onlyARight, 'row')}, B in ${paired.onlyBRight} (McNemar, exact: p = ${paired.p.toPrecision(2)})`,
      ],
    );
  if (disagreement)
    lines.push(['Disagreement', `${plural(disagreement.rows, 'row')}, ${percent(disagreement.share, 2)}`]);
  if (largestDifference !== null)
    lines.push(['Outputs', `differ by ${largestDifference.toPrecision(3)} at most`]);
  if (lines.length > 0) parts.push(facts(lines));
  if (disagreement && disagreement.table.length > 0)
    parts.push(
      table(
        ['truth', 'A says', 'B says', 'rows'],
        disagreement.table.slice(0, 12).map((row) => [row.truth, row.a, row.b, row.rows]),
      ),
    );
  if (notes.length > 0) parts.push(notes.map((note) => dim(`· ${note}`)).join('\n'));
  return parts.join('\n\n');
}

function sides({ a, b }: Comparison): string {
  const row = (name: string, show: (side: Comparison['a']) => string | null) => [name, show(a), show(b)];
  const figure = (name: string, key: 'macroF1' | 'auc' | 'calibrationError' | 'mae' | 'rmse' | 'r2') => {
    const of = (side: Comparison['a']) => side.figures?.[key] ?? null;
    if (of(a) === null && of(b) === null) return [];
    return [row(name, (side) => of(side)?.toPrecision(4) ?? null)];
  };
  const accuracy = (side: Comparison['a']) => side.figures?.accuracy ?? null;
  return table(
    ['', 'A', 'B'],
    [
      row('numbers', ({ precision }) => precision),
      row('size', ({ bytes }) => size(bytes)),
      row('arena', ({ arenaBytes }) => (arenaBytes === null ? null : size(arenaBytes))),
      row('multiply-adds', ({ macs }) => thousands(macs)),
      row('parameters', ({ parameters }) => thousands(parameters)),
      row('operators', ({ operators }) => String(Object.values(operators).reduce((x, y) => x + y, 0))),
      ...(accuracy(a) === null ? [] : [row('accuracy', (side) => percent(accuracy(side) ?? 0, 2))]),
      ...figure('macro-F1', 'macroF1'),
      ...figure('AUC', 'auc'),
      ...figure('calibration error', 'calibrationError'),
      ...figure('mean absolute error', 'mae'),
      ...figure('RMSE', 'rmse'),
      ...figure('R²', 'r2'),
    ],
  );
}

function points(share: number): string {
  return `${share > 0 ? '+' : ''}${(100 * share).toFixed(2)} points`;
}
