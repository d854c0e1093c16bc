import { barChart, type Html, html } from '../../formats/index.js';
import type { Explanation } from '../explain/saved.js';
import type { ReportData } from './gather.js';

const most = 20;
const rowHeight = 20;

/** What the network looks at: importance of features, and saliency over the window for each class. */
export function explanation({ explanation: found }: ReportData): Html | null {
  if (!found) return null;
  const metric = { macroF1: 'macro-F1', auc: 'AUC', mae: 'mean absolute error' }[found.metric];
  const repeated = `${found.n} examples, ${metric} ${found.base.toPrecision(4)} with nothing changed`;
  return html`<h2>What it looks at</h2><div class="pair">${importance(found, metric, repeated)}${saliency(found)}</div>`;
}

function importance({ importance: all }: Explanation, metric: string, note: string): Html {
  const shown = all.slice(0, most);
  const rest = all.length > most ? `; the first ${most} of ${all.length}` : '';
  return barChart({
    title: `Loss of ${metric} when a feature is shuffled`,
    note: `${note}${rest}`,
    bars: shown.map(({ feature: name, loss, deviation }) => ({
      ...{ name, value: loss, deviation, text: loss.toPrecision(2) },
    })),
  });
}

/** A row a field (or one for features) of each class, a cell a part: the darker, the more the class loses without it. */
function saliency({ saliency: { over, fields, parts, classes } }: Explanation): Html {
  const width = 330 / Math.max(1, parts.length);
  const blocks = classes.map(({ class: name, n, values }) => {
    const largest = Math.max(...values.flat().map(Math.abs), 1e-9);
    const rows = fields.map((field, f) => {
      const cells = parts.map((part, p) => {
        const value = values[f]?.[p] ?? 0;
        const strength = Math.abs(value) / largest;
        const kind = value < 0 ? 'bar negative' : 'heat';
        return html`<rect class="${kind}" fill-opacity="${strength.toFixed(2)}" x="${(100 + p * width).toFixed(1)}" y="${f * rowHeight + 2}" width="${Math.max(1, width - 1).toFixed(1)}" height="${rowHeight - 4}"><title>${part}: ${value.toPrecision(2)}</title></rect>`;
      });
      return html`<text class="name" text-anchor="end" x="92" y="${f * rowHeight + 14}">${field.slice(0, 14)}</text>${cells}`;
    });
    const foot = fields.length * rowHeight + 14;
    const ends = html`<text class="tick" x="100" y="${foot}">${parts[0]}</text><text class="tick" text-anchor="end" x="430" y="${foot}">${parts.at(-1)}</text>`;
    return html`<figcaption>${name}<span class="note">${n} examples</span></figcaption><svg viewBox="0 0 440 ${foot + 8}" role="img" aria-label="Saliency of ${name}">${rows}${ends}</svg>`;
  });
  const what = over === 'time' ? 'a stretch of the window' : 'a feature';
  return html`<figure>${blocks}<p class="lead">What the class loses of its share when ${what} is replaced by its mean; the strongest of each class is darkest, and orange where it gains.</p></figure>`;
}
