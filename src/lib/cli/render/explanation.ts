import type { Explanation } from '../../model/index.js';
import { bold, dim } from './style.js';
import { bar, table } from './text.js';

const mostRows = 20;
const shades = ' ░▒▓█';

/** Features by importance, and for each class what it looks at. */
export function explanationText(result: Explanation): string {
  const metric = { macroF1: 'macro-F1', auc: 'AUC', mae: 'mean absolute error' }[result.metric];
  const { importance, n, base, seed } = result;
  const head = `${bold(result.model)}\n${metric} ${base.toFixed(4)} on ${n} examples; what it loses when a feature is shuffled (seed ${seed})`;
  const largest = Math.max(...importance.map(({ loss }) => loss), 1e-9);
  const rows = importance
    .slice(0, mostRows)
    .map(({ feature, inputs, loss, deviation }) => [
      feature,
      inputs,
      `${loss.toFixed(4)} ± ${deviation.toFixed(4)}`,
      bar(loss / largest, 20).replaceAll('░', ' '),
    ]);
  const rest = importance.length - mostRows;
  const more = rest > 0 ? `\n${dim(`… and ${rest} more (--json has them all)`)}` : '';
  return `${head}\n\n${table(['feature', 'inputs', 'loss', ''], rows)}${more}\n\n${saliencyText(result)}`;
}

function saliencyText({ saliency: { over, fields, parts, classes } }: Explanation): string {
  if (over === 'features') return classes.map((one) => strongest(one, parts)).join('\n');
  const blocks = classes.map(({ class: name, n, values }) => {
    const largest = Math.max(...values.flat().map(Math.abs), 1e-9);
    const widest = Math.max(...fields.map((field) => field.length));
    const lines = fields.map((field, f) => {
      const cells = (values[f] ?? []).map((value) => {
        const shade = Math.round((Math.max(0, value) / largest) * (shades.length - 1));
        return (shades[shade] ?? ' ').repeat(2);
      });
      return `  ${field.padEnd(widest)}  ${cells.join('')}`;
    });
    return [`${bold(name)} ${dim(`(${n} examples, ${parts[0]} to ${parts.at(-1)})`)}`, ...lines].join('\n');
  });
  return [
    dim('What each class looks at over the window (the darker, the more it loses without it):'),
    ...blocks,
  ].join('\n');
}

function strongest(
  { class: name, values }: Explanation['saliency']['classes'][number],
  parts: string[],
): string {
  const [row = []] = values;
  const order = row.map((value, p) => ({ value, part: parts[p] ?? '' })).sort((a, b) => b.value - a.value);
  const named = order
    .slice(0, 4)
    .filter(({ value }) => value > 0)
    .map(({ part, value }) => `${part} ${value.toFixed(3)}`);
  return `${bold(name)} loses most without ${named.length > 0 ? named.join(', ') : 'nothing in particular'}`;
}
