import { type Html, html } from './html.js';

export interface Bar {
  name: string;
  value: number;
  /** Formatted value. */
  text: string;
  /** Half the width of the bar's error bar, in the value's unit. */
  deviation?: number;
  paint?: Paint;
}

interface BarChart {
  title: string;
  note?: string;
  bars: readonly Bar[];
  /** Value of a full-width bar. Default: the largest value. */
  full?: number;
}

/**
 * A bar chart with one bar per row. It is a table so that text has the page's font size, and so that screen readers read each name and
 * value.
 */
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

/** Allows line breaks between the words of code and tensor names. */
function breakable(name: string): Html {
  const [first = '', ...rest] = name.split(/(?<=[_/])/);
  return html`${first}${rest.map((part) => html`<wbr>${part}`)}`;
}

export interface StackChart {
  title: string;
  /** The possible parts of a bar, in order. */
  parts: readonly { name: string; paint: Paint }[];
  /** Values in the order of `parts`. */
  rows: readonly { name: string; values: readonly number[]; text: string }[];
}

/** Stacked bars, scaled to the largest sum. Parts that no bar contains are omitted from the legend. */
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

export interface Series {
  name: string;
  values: readonly number[];
  /** Color; default: by index. */
  paint?: Paint;
}

interface LineChart {
  title: string;
  series: readonly Series[];
  /** Name of x, such as `epoch`. */
  by: string;
  /** The x values, ascending; default 1, 2, 3, …. */
  x?: readonly number[];
  /** Formats an x value. */
  xText?: (x: number) => string;
  /** Whether to draw steps, where each value applies until the next value. */
  steps?: boolean;
  /** Fixed range of the y axis; default: from 0 to the largest value, rounded up. */
  range?: readonly [number, number];
  format: (value: number) => string;
  /** An x value to mark with a vertical line, and the label of this line. */
  mark?: { x: number; text: string };
}

const width = 440;
const lineChartHeight = 250;
const lineChartMargin = { left: 46, right: 14, top: 12, bottom: 34 };
const paints: readonly Paint[] = [1, 2, 3, 4, 5, 6];

/** A line chart as an SVG in the page, colored by the page's style. */
export function lineChart(chart: LineChart): Html {
  const { title, series, range, format, mark, by, steps = false, xText = String } = chart;
  const count = Math.max(1, ...series.map(({ values }) => values.length));
  const places = chart.x ?? Array.from({ length: count }, (_, i) => i + 1);
  const [first, last] = [places[0] ?? 0, places.at(-1) ?? 1];
  const [low, high] = range ?? [0, niceTop(Math.max(...series.flatMap(({ values }) => values)))];
  const x = (at: number) =>
    lineChartMargin.left +
    ((at - first) / (last - first || 1)) * (width - lineChartMargin.left - lineChartMargin.right);
  const y = (value: number) => {
    const share = (Math.min(high, Math.max(low, value)) - low) / (high - low || 1);
    return (
      lineChartHeight -
      lineChartMargin.bottom -
      share * (lineChartHeight - lineChartMargin.top - lineChartMargin.bottom)
    );
  };
  const rows = [0, 1, 2, 3, 4].map((i) => low + ((high - low) * i) / 4);
  const grid = rows.map(
    (value) =>
      html`<line class="grid" x1="${lineChartMargin.left}" x2="${width - lineChartMargin.right}" y1="${f(y(value))}" y2="${f(y(value))}"/><text class="tick" text-anchor="end" x="${lineChartMargin.left - 8}" y="${f(y(value) + 4)}">${format(value)}</text>`,
  );
  const ticks = chart.x ? [0, 0.5, 1].map((s) => first + s * (last - first)) : wholeTicks(count);
  const columns = ticks.map((at, i) => {
    const anchor = chart.x && i === ticks.length - 1 ? 'end' : chart.x && i === 0 ? 'start' : 'middle';
    return html`<text class="tick" text-anchor="${anchor}" x="${f(x(at))}" y="${lineChartHeight - lineChartMargin.bottom + 18}">${xText(at)}</text>`;
  });
  const lines = series.map(({ values, paint }, s) => {
    const points = values.flatMap((value, i) => {
      const here = `${f(x(places[i]!))},${f(y(value))}`;
      return steps && i > 0 ? [`${f(x(places[i]!))},${f(y(values[i - 1]!))}`, here] : [here];
    });
    return html`<polyline class="line ${paintClass(paint ?? paints[s]!)}" points="${points.join(' ')}"/>`;
  });
  const marked = mark
    ? html`<line class="mark" x1="${f(x(mark.x))}" x2="${f(x(mark.x))}" y1="${lineChartMargin.top}" y2="${lineChartHeight - lineChartMargin.bottom}"/>`
    : null;
  const keys = [
    ...series.map(({ name, paint }, s) => ({ name, paint: paint ?? paints[s]! })),
    ...(mark ? [{ name: mark.text, paint: 'mark' as const }] : []),
  ];
  return html`<figure><figcaption>${title}${legend(keys)}</figcaption><svg viewBox="0 0 ${width} ${lineChartHeight}" role="img" aria-label="${title} by ${by}">${grid}${columns}${marked}${lines}</svg></figure>`;
}

/** At most six of the labels 1, 2, 3, …, including the first and the last. */
function wholeTicks(count: number): number[] {
  if (count <= 6) return Array.from({ length: count }, (_, i) => i + 1);
  const step = [2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2500].find((s) => count / s <= 5) ?? count;
  const inner = Array.from({ length: Math.floor(count / step) }, (_, i) => (i + 1) * step);
  return [1, ...inner.filter((at) => count - at > step / 2), count];
}

/** Rounds up to 1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8 or 10 times a power of ten, because a quarter of such a number has few digits. */
function niceTop(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return (
    power * ([1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10].find((step) => value <= step * power * 1.0001) ?? 10)
  );
}

function f(value: number): string {
  return value.toFixed(1);
}

export interface Histogram {
  /** The axis ranges from `from` to `to`. */
  from: number;
  to: number;
  /** Share of each bin, drawn as an area. */
  area: readonly number[];
  /** Shares of the second distribution, drawn as a line. */
  line?: readonly number[];
  unit?: string | null;
  /** Marks on the axis, such as the ends of a range. */
  marks?: readonly number[];
  /** Text alternative for screen readers. */
  spoken: string;
}

const histogramHeight = 190;
const histogramMargin = { left: 14, right: 14, top: 10, bottom: 26 };

/** A distribution as a stepped area, with a second distribution drawn over it as a line. */
export function histogram({ from, to, area, line, unit, marks = [], spoken }: Histogram): Html {
  // Both distributions share a scale, whose upper end is the larger maximum.
  const top = Math.max(...area, ...(line ?? []), 1e-12);
  const count = area.length;
  const x = (i: number) =>
    histogramMargin.left + (i / count) * (width - histogramMargin.left - histogramMargin.right);
  const y = (share: number) =>
    histogramHeight -
    histogramMargin.bottom -
    (share / top) * (histogramHeight - histogramMargin.top - histogramMargin.bottom);
  const steps = (shares: readonly number[]) =>
    shares.map((share, i) => `${f(x(i))},${f(y(share))} ${f(x(i + 1))},${f(y(share))}`).join(' ');
  const foot = f(y(0));
  const digits = Math.min(20, Math.max(0, 2 - Math.floor(Math.log10(to - from || 1))));
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share, i) => {
    const anchor = i === 0 ? 'start' : i === 4 ? 'end' : 'middle';
    const value = Number((from + share * (to - from)).toFixed(digits));
    return html`<text class="tick" text-anchor="${anchor}" x="${f(x(share * count))}" y="${histogramHeight - histogramMargin.bottom + 17}">${value}${i === 4 && unit ? ` ${unit}` : ''}</text>`;
  });
  const upright = marks
    .filter((value) => value >= from && value <= to)
    .map((value) => {
      const at = f(x(((value - from) / (to - from || 1)) * count));
      return html`<line class="mark" x1="${at}" x2="${at}" y1="${histogramMargin.top}" y2="${foot}"/>`;
    });
  const over = line
    ? html`<polyline class="line series-2" points="${f(x(0))},${foot} ${steps(line)} ${f(x(count))},${foot}"/>`
    : null;
  return html`<svg viewBox="0 0 ${width} ${histogramHeight}" role="img" aria-label="${spoken}"><polygon class="area series-1" points="${f(x(0))},${foot} ${steps(area)} ${f(x(count))},${foot}"/>${over}${upright}<line class="axis" x1="${histogramMargin.left}" x2="${width - histogramMargin.right}" y1="${foot}" y2="${foot}"/>${ticks}</svg>`;
}

export interface ParallelChart {
  title: string;
  note?: string;
  /** Position of each line on this axis, from 0 (bottom) to 1 (top); null = the line has no value here and skips the axis. */
  axes: readonly {
    name: string;
    places: readonly (number | null)[];
    ticks: readonly { at: number; text: string }[];
  }[];
  lines: readonly { name: string; marked: boolean }[];
  /** Legend text for marked lines. */
  key: string;
}

const parallelHeight = 280;
const parallelMargin = { side: 60, top: 34, bottom: 14 };
const axisDistance = 118;

/** A parallel-coordinates plot: a vertical axis for each quantity, and a line for each item. Marked lines are drawn last. */
export function parallelChart({ title, note, axes, lines, key }: ParallelChart): Html {
  const whole = 2 * parallelMargin.side + (axes.length - 1) * axisDistance;
  const x = (axis: number) => parallelMargin.side + axis * axisDistance;
  const y = (place: number) =>
    parallelMargin.top + (1 - place) * (parallelHeight - parallelMargin.top - parallelMargin.bottom);
  const drawn = [...lines.entries()].sort(([, a], [, b]) => Number(a.marked) - Number(b.marked));
  const polylines = drawn.map(([i, { name, marked }]) => {
    const points = axes.flatMap(({ places }, a) => {
      const place = places[i] ?? null;
      return place === null ? [] : [`${f(x(a))},${f(y(place))}`];
    });
    return html`<polyline class="line ${marked ? 'series-2' : 'series-1 faint'}" points="${points.join(' ')}"><title>${name}</title></polyline>`;
  });
  const uprights = axes.map(({ name, ticks }, a) => {
    const labels = ticks.map(
      ({ at, text }) =>
        html`<text class="tick halo" text-anchor="end" x="${f(x(a) - 5)}" y="${f(y(at) + 4)}">${shortText(text)}</text>`,
    );
    return html`<line class="axis" x1="${f(x(a))}" x2="${f(x(a))}" y1="${f(y(1))}" y2="${f(y(0))}"/><text class="name" text-anchor="middle" x="${f(x(a))}" y="16">${shortText(name)}<title>${name}</title></text>${labels}`;
  });
  const keys = lines.some(({ marked }) => marked) ? legend([{ name: key, paint: 2 }]) : null;
  return html`<figure><figcaption>${title}${note ? html`<span class="note">${note}</span>` : null}${keys}</figcaption><div class="scroll"><svg style="min-width:${whole}px;max-width:${Math.round(whole * 1.35)}px" viewBox="0 0 ${whole} ${parallelHeight}" role="img" aria-label="${title}: ${axes.map(({ name }) => name).join(', ')}">${polylines}${uprights}</svg></div></figure>`;
}

/** Maximum length of text next to or above an axis, in characters. */
const longestLabel = 17;

function shortText(text: string): string {
  return text.length > longestLabel ? `${text.slice(0, longestLabel - 1)}…` : text;
}

/** A confusion matrix: rows are true classes, columns are predicted classes. Cells are shaded by their share of the row. */
export function confusionTable(title: string, note: string, classes: string[], counts: number[][]): Html {
  const head = classes.map((name) => html`<th scope="col">${name}</th>`);
  const rows = classes.map((name, truth) => {
    const row = counts[truth] ?? [];
    const total = row.reduce((a, b) => a + b, 0);
    const cells = classes.map((_, predicted) => {
      const count = row[predicted] ?? 0;
      const share = total === 0 ? 0 : count / total;
      const kind = predicted === truth ? 'hit' : 'miss';
      const strong = share > 0.55 ? ' strong' : '';
      return html`<td class="${kind}${strong}" style="--share:${Math.round(share * 100)}%">${count}<small>${total === 0 ? '–' : `${(share * 100).toFixed(0)} %`}</small></td>`;
    });
    return html`<tr><th scope="row">${name}</th>${cells}</tr>`;
  });
  return html`<figure class="confusion"><figcaption>${title}<span class="note">${note}</span></figcaption><div class="scroll"><table><thead><tr><td class="corner">truth ↓ predicted →</td>${head}</tr></thead><tbody>${rows}</tbody></table></div></figure>`;
}

/** Colors of legends, lines and bars: curves by number, verdicts by name. */
export type Paint = 1 | 2 | 3 | 4 | 5 | 6 | 'good' | 'bad' | 'warn' | 'soft';

/** CSS class of a color. */
function paintClass(paint: Paint): string {
  return typeof paint === 'number' ? `series-${paint}` : paint;
}

/** A row of tiles with key figures: [name, value]. */
export function tileRow(list: readonly (readonly [name: string, value: string])[]): Html {
  return html`<div class="tiles">${list.map(([name, value]) => html`<div class="tile"><b>${value}</b><span>${name}</span></div>`)}</div>`;
}

/** A list of names and values. */
export function factList(facts: readonly (readonly [name: string, value: string | Html])[]): Html {
  return html`<dl>${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

/** A list of limits, each passed or failed. */
export function checkList(checks: readonly { passed: boolean; text: string }[]): Html {
  const items = checks.map(({ passed, text }) => {
    const badge = passed
      ? html`<span class="badge good">✓ passed</span>`
      : html`<span class="badge bad">✗ failed</span>`;
    return html`<li>${badge}<span>${text}</span></li>`;
  });
  return html`<ul class="plain">${items}</ul>`;
}

/** A legend with the meaning of each color. */
export function legend(keys: readonly { name: string; paint: Paint | 'mark' }[]): Html {
  const shown = keys.map(({ name, paint }) => {
    const kind = paint === 'mark' ? paint : paintClass(paint);
    return html`<span class="key ${kind}">${name}</span>`;
  });
  return html`<span class="keys">${shown}</span>`;
}
