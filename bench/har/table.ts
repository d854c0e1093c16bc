import type { Score } from './figures.js';
import type { OuterFold } from './nested.js';
import type { Part } from './study.js';

/** Formats the study's rows as a Markdown table. */
export function table(parts: Part[]): string {
  const lines = [
    '| split | windows | macro-F1 by window | smoothed macro-F1 | int8 bytes |',
    '| --- | --: | --- | --- | --: |',
  ];
  for (const { name, scores, bytes } of parts) {
    lines.push(
      `| ${name} | ${scores.window.windows} | ${figure(scores.window)} | ${figure(scores.voted)} | ${bytes ?? '–'} |`,
    );
  }
  return lines.join('\n');
}

/** Metrics of each class: by window, and F1 after smoothing. */
export function classTable({ scores: { window, voted } }: Part): string {
  const lines = [
    '| class | windows | precision | recall | F1 | smoothed F1 |',
    '| --- | --: | --: | --: | --: | --: |',
  ];
  window.perClass.forEach((own, c) => {
    lines.push(
      `| ${own.class} | ${own.support} | ${own.precision.toFixed(3)} | ${own.recall.toFixed(3)} | ${own.f1.toFixed(3)} | ${voted.perClass[c]!.f1.toFixed(3)} |`,
    );
  });
  return lines.join('\n');
}

function figure({ macroF1, interval }: Score): string {
  const range = interval ? ` (${interval[0].toFixed(3)} to ${interval[1].toFixed(3)})` : '';
  return `${macroF1.toFixed(4)}${range}`;
}

/** Inner-fold results for each recipe: its mean metric over the outer folds, and how often it was selected. */
export function foldTable(folds: OuterFold[]): string {
  const lines = ['| recipe | mean in the inner folds | selected |', '| --- | --: | --: |'];
  for (const { recipe } of folds[0]?.inner ?? []) {
    const figures = folds.map(({ inner }) => inner.find((own) => own.recipe === recipe)!.figure);
    const mean = figures.reduce((a, b) => a + b, 0) / figures.length;
    const chosen = folds.filter((fold) => fold.chosen.name === recipe).length;
    lines.push(`| ${recipe} | ${mean.toFixed(4)} | ${chosen} of ${folds.length} |`);
  }
  return lines.join('\n');
}
