import { percent, size } from '../../core/index.js';
import type { EvaluateResult } from '../../model/index.js';
import { gateFacts } from './gates.js';
import { facts, table } from './text.js';

/** Figures, classes, confusion and gates of an evaluation. */
export function evaluationText(result: EvaluateResult): string {
  const row = (name: string, { accuracy, macroF1 }: EvaluateResult['int8']) => [
    name,
    percent(accuracy),
    macroF1.toFixed(4),
  ];
  const scores = table(
    [`${result.int8.windows} held-out windows`, 'accuracy', 'macro-F1'],
    [
      row('float (LiteRT)', result.float),
      row('int8 (device)', result.int8),
      row('int8 (LiteRT)', result.litert),
      row('int8, voted', result.voted),
    ],
  );
  const classes = table(
    ['class', 'windows', 'precision', 'recall', 'F1', ...result.classes.map((name) => `→ ${name}`)],
    result.perClass.map(({ class: name, support, precision, recall, f1 }, c) => [
      name,
      support,
      precision.toFixed(3),
      recall.toFixed(3),
      f1.toFixed(3),
      ...(result.int8.confusion[c] ?? []),
    ]),
  );
  const [low, high] = result.interval;
  const rest = facts([
    ['95 % interval', `${percent(low)} to ${percent(high)} (int8 accuracy, by window)`],
    [
      'Agreement',
      `${percent(result.agreement)} of windows: device interpreter and LiteRT name the same class`,
    ],
    ['Arena', size(result.arenaBytes)],
    ...gateFacts(result.gates),
  ]);
  return `${scores}\n\n${classes}\n\n${rest}`;
}
