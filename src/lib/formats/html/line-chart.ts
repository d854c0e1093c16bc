import { type Html, html } from './html.js';
import { legend, type Paint, paintClass } from './parts.js';

export interface Series {
  name: string;
  values: readonly number[];
  /** By its place unless told. */
  paint?: Paint;
}

export interface LineChart {
  title: string;
  series: readonly Series[];
  /** What x is, such as `epoch`. */
  by: string;
  /** Where the values stand, rising; 1, 2, 3, … unless told. */
  x?: readonly number[];
  /** How an x is told. */
  xText?: (x: number) => string;
  /** A value stands until the next one. */
  steps?: boolean;
  /** Fixed ends of the y axis; otherwise 0 to the largest value. */
  range?: readonly [number, number];
  format: (value: number) => string;
  /** An x to mark with an upright line, and what it is. */
  mark?: { x: number; text: string };
}

const width = 440;
const height = 250;
const margin = { left: 46, right: 14, top: 12, bottom: 34 };
const paints: readonly Paint[] = [1, 2, 3, 4, 5, 6];

/** Lines as an SVG of their own, coloured by the page's style. */
export function lineChart(chart: LineChart): Html {
  const { title, series, range, format, mark, by, steps = false, xText = String } = chart;
  const count = Math.max(1, ...series.map(({ values }) => values.length));
  const places = chart.x ?? Array.from({ length: count }, (_, i) => i + 1);
  const [first, last] = [places[0] ?? 0, places.at(-1) ?? 1];
  const [low, high] = range ?? [0, niceTop(Math.max(...series.flatMap(({ values }) => values)))];
  const x = (at: number) =>
    margin.left + ((at - first) / (last - first || 1)) * (width - margin.left - margin.right);
  const y = (value: number) => {
    const share = (Math.min(high, Math.max(low, value)) - low) / (high - low || 1);
    return height - margin.bottom - share * (height - margin.top - margin.bottom);
  };
  const rows = [0, 1, 2, 3, 4].map((i) => low + ((high - low) * i) / 4);
  const grid = rows.map(
    (value) =>
      html`<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${f(y(value))}" y2="${f(y(value))}"/><text class="tick" text-anchor="end" x="${margin.left - 8}" y="${f(y(value) + 4)}">${format(value)}</text>`,
  );
  const ticks = chart.x ? [0, 0.5, 1].map((s) => first + s * (last - first)) : wholeTicks(count);
  const columns = ticks.map((at, i) => {
    const anchor = chart.x && i === ticks.length - 1 ? 'end' : chart.x && i === 0 ? 'start' : 'middle';
    return html`<text class="tick" text-anchor="${anchor}" x="${f(x(at))}" y="${height - margin.bottom + 18}">${xText(at)}</text>`;
  });
  const lines = series.map(({ values, paint }, s) => {
    const points = values.flatMap((value, i) => {
      const here = `${f(x(places[i]!))},${f(y(value))}`;
      return steps && i > 0 ? [`${f(x(places[i]!))},${f(y(values[i - 1]!))}`, here] : [here];
    });
    return html`<polyline class="line ${paintClass(paint ?? paints[s]!)}" points="${points.join(' ')}"/>`;
  });
  const marked = mark
    ? html`<line class="mark" x1="${f(x(mark.x))}" x2="${f(x(mark.x))}" y1="${margin.top}" y2="${height - margin.bottom}"/>`
    : null;
  const keys = [
    ...series.map(({ name, paint }, s) => ({ name, paint: paint ?? paints[s]! })),
    ...(mark ? [{ name: mark.text, paint: 'mark' as const }] : []),
  ];
  return html`<figure><figcaption>${title}${legend(keys)}</figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title} by ${by}">${grid}${columns}${marked}${lines}</svg></figure>`;
}

/** At most six of 1, 2, 3, … to name, the first and the last among them. */
function wholeTicks(count: number): number[] {
  if (count <= 6) return Array.from({ length: count }, (_, i) => i + 1);
  const step = [2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2500].find((s) => count / s <= 5) ?? count;
  const inner = Array.from({ length: Math.floor(count / step) }, (_, i) => (i + 1) * step);
  return [1, ...inner.filter((at) => count - at > step / 2), count];
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
