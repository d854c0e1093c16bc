import { type Html, html } from '../../formats/index.js';

export interface Series {
  name: string;
  /** y at x = 1, 2, 3, … */
  values: number[];
}

export interface LineChart {
  title: string;
  series: Series[];
  /** Fixed ends of the y axis; otherwise 0 to the largest value. */
  range?: [number, number];
  format: (value: number) => string;
  /** An x to mark with an upright line, and what it is. */
  mark?: { x: number; text: string };
}

const width = 440;
const height = 250;
const margin = { left: 46, right: 14, top: 12, bottom: 34 };

/** Lines over epochs as an SVG of their own, coloured by the page's style. */
export function lineChart({ title, series, range, format, mark }: LineChart): Html {
  const count = Math.max(...series.map(({ values }) => values.length));
  const [low, high] = range ?? [0, niceTop(Math.max(...series.flatMap(({ values }) => values)))];
  const x = (epoch: number) =>
    margin.left + ((epoch - 1) / Math.max(1, count - 1)) * (width - margin.left - margin.right);
  const y = (value: number) => {
    const share = (Math.min(high, Math.max(low, value)) - low) / (high - low || 1);
    return height - margin.bottom - share * (height - margin.top - margin.bottom);
  };
  const rows = [0, 1, 2, 3, 4].map((i) => low + ((high - low) * i) / 4);
  const grid = rows.map(
    (value) =>
      html`<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${f(y(value))}" y2="${f(y(value))}"/><text class="tick" text-anchor="end" x="${margin.left - 8}" y="${f(y(value) + 4)}">${format(value)}</text>`,
  );
  const columns = epochTicks(count).map(
    (epoch) =>
      html`<text class="tick" text-anchor="middle" x="${f(x(epoch))}" y="${height - margin.bottom + 18}">${epoch}</text>`,
  );
  const lines = series.map(
    ({ values }, s) =>
      html`<polyline class="line series-${s + 1}" points="${values.map((v, i) => `${f(x(i + 1))},${f(y(v))}`).join(' ')}"/>`,
  );
  const marked = mark
    ? html`<line class="mark" x1="${f(x(mark.x))}" x2="${f(x(mark.x))}" y1="${margin.top}" y2="${height - margin.bottom}"/>`
    : null;
  const keys = [
    ...series.map(({ name }, s) => html`<span class="key series-${s + 1}">${name}</span>`),
    ...(mark ? [html`<span class="key mark">${mark.text}</span>`] : []),
  ];
  return html`<figure><figcaption>${title}<span class="keys">${keys}</span></figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title} by epoch">${grid}${columns}${marked}${lines}</svg></figure>`;
}

/** At most six epochs to name, the first and the last among them. */
function epochTicks(count: number): number[] {
  if (count <= 6) return Array.from({ length: count }, (_, i) => i + 1);
  const step = [2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2500].find((s) => count / s <= 5) ?? count;
  const inner = Array.from({ length: Math.floor(count / step) }, (_, i) => (i + 1) * step);
  return [1, ...inner.filter((epoch) => count - epoch > step / 2), count];
}

/** The next of 1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8 × a power of ten: divided by four it has few digits. */
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
