import { type Html, html } from './html.js';
import { legend, type Paint, paintClass } from './parts.js';

export interface Bar {
  name: string;
  value: number;
  /** How the value is told. */
  text: string;
  /** Half the width of its whisker, in the unit of the value. */
  deviation?: number;
  paint?: Paint;
}

export interface BarChart {
  title: string;
  note?: string;
  bars: readonly Bar[];
  /** Value of a full bar; the largest one unless told. */
  full?: number;
}

/** One bar a row, as a table: its words have the size of the page's, and a reader without eyes reads name and value. */
export function barChart({ title, note, bars, full }: BarChart): Html {
  const most = full ?? Math.max(...bars.map(({ value, deviation = 0 }) => value + deviation), 1e-300);
  const share = (value: number) => `${(Math.min(1, Math.max(0, value / most)) * 100).toFixed(1)}%`;
  const rows = bars.map(({ name, value, text, deviation, paint = 1 }) => {
    const whisker =
      deviation === undefined
        ? null
        : html`<i class="whisker" style="--from:${share(value - deviation)};--to:${share(value + deviation)}"></i>`;
    return html`<tr><th scope="row">${breakable(name)}</th><td class="track"><span class="room"><i class="fill ${paintClass(paint)}" style="--share:${share(value)}"></i>${whisker}</span></td><td class="number">${text}</td></tr>`;
  });
  return html`<figure><figcaption>${title}${note ? html`<span class="note">${note}</span>` : null}</figcaption><table class="bars"><tbody>${rows}</tbody></table></figure>`;
}

/** Names of codes and tensors may go on in the next line where a word of theirs ends. */
function breakable(name: string): Html {
  const [first = '', ...rest] = name.split(/(?<=[_/])/);
  return html`${first}${rest.map((part) => html`<wbr>${part}`)}`;
}

export interface StackChart {
  title: string;
  /** The parts that a bar may have, in their order. */
  parts: readonly { name: string; paint: Paint }[];
  /** Values in the order of `parts`. */
  rows: readonly { name: string; values: readonly number[]; text: string }[];
}

/** Bars of parts, each as long as its sum beside the largest one; parts that no bar has are not in the legend. */
export function stackChart({ title, parts, rows }: StackChart): Html {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const most = Math.max(...rows.map(({ values }) => sum(values)), 1e-300);
  const used = parts.filter((_, p) => rows.some(({ values }) => (values[p] ?? 0) > 0));
  const lines = rows.map(({ name, values, text }) => {
    const filled = parts.flatMap((part, p) => ((values[p] ?? 0) > 0 ? [{ ...part, value: values[p]! }] : []));
    const told = filled.map((part) => `${part.value} ${part.name}`).join(', ');
    const fills = filled.map(
      (part) =>
        html`<i class="fill ${paintClass(part.paint)}" style="--share:${((part.value / most) * 100).toFixed(2)}%" title="${part.value} ${part.name}"></i>`,
    );
    return html`<tr><th scope="row">${breakable(name)}</th><td class="track stack" role="img" aria-label="${told}">${fills}</td><td class="number">${text}</td></tr>`;
  });
  return html`<figure><figcaption>${title}${legend(used)}</figcaption><table class="bars"><tbody>${lines}</tbody></table></figure>`;
}
