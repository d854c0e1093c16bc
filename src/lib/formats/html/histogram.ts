import { type Html, html } from './html.js';

export interface Histogram {
  /** Ends of the axis. */
  from: number;
  to: number;
  /** Shares by bin: as an area. */
  area: readonly number[];
  /** The same bins once more: as a line over it. */
  line?: readonly number[];
  unit?: string | null;
  /** Marks on the axis: ends of a range. */
  marks?: readonly number[];
  /** The picture in words, for who cannot see it. */
  spoken: string;
}

const width = 440;
const height = 190;
const margin = { left: 14, right: 14, top: 10, bottom: 26 };

/** One distribution as an area of steps, and another one over it as a line. */
export function histogram({ from, to, area, line, unit, marks = [], spoken }: Histogram): Html {
  // What stands still has one bar as high as the picture: the other side is drawn by its own height then.
  const top = Math.max(...area, ...(line ?? []), 1e-12);
  const count = area.length;
  const x = (i: number) => margin.left + (i / count) * (width - margin.left - margin.right);
  const y = (share: number) => height - margin.bottom - (share / top) * (height - margin.top - margin.bottom);
  const steps = (shares: readonly number[]) =>
    shares.map((share, i) => `${f(x(i))},${f(y(share))} ${f(x(i + 1))},${f(y(share))}`).join(' ');
  const foot = f(y(0));
  const digits = Math.min(20, Math.max(0, 2 - Math.floor(Math.log10(to - from || 1))));
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share, i) => {
    const anchor = i === 0 ? 'start' : i === 4 ? 'end' : 'middle';
    const value = Number((from + share * (to - from)).toFixed(digits));
    return html`<text class="tick" text-anchor="${anchor}" x="${f(x(share * count))}" y="${height - margin.bottom + 17}">${value}${i === 4 && unit ? ` ${unit}` : ''}</text>`;
  });
  const upright = marks
    .filter((value) => value >= from && value <= to)
    .map((value) => {
      const at = f(x(((value - from) / (to - from || 1)) * count));
      return html`<line class="mark" x1="${at}" x2="${at}" y1="${margin.top}" y2="${foot}"/>`;
    });
  const over = line
    ? html`<polyline class="line series-2" points="${f(x(0))},${foot} ${steps(line)} ${f(x(count))},${foot}"/>`
    : null;
  return html`<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${spoken}"><polygon class="area series-1" points="${f(x(0))},${foot} ${steps(area)} ${f(x(count))},${foot}"/>${over}${upright}<line class="axis" x1="${margin.left}" x2="${width - margin.right}" y1="${foot}" y2="${foot}"/>${ticks}</svg>`;
}

function f(value: number): string {
  return value.toFixed(1);
}
