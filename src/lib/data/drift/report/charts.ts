import { type Html, html } from '../../../formats/index.js';
import type { FeatureDrift } from '../result.js';

const width = 440;
const height = 190;
const margin = { left: 14, right: 14, top: 10, bottom: 26 };
/** Categories that are drawn; the table below has all. */
const mostWords = 12;

/** Both distributions over each other: the base as an area, NOW as a line; of words two bars each. */
export function distributionChart(feature: FeatureDrift): Html | null {
  return feature.kind === 'number' ? overlaid(feature) : bars(feature);
}

/** The picture in words, for who cannot see it. */
export function spoken({ name, base, now, psi, drifted, unit }: FeatureDrift): string {
  const figure = (value: number | null) =>
    value === null ? 'nothing' : String(Number(value.toPrecision(4)));
  const own = unit === null ? '' : ` ${unit}`;
  const means =
    base.mean === null ? '' : ` The mean was ${figure(base.mean)}${own} and is ${figure(now.mean)}${own}.`;
  return `Distribution of ${name}: ${drifted ? 'drifted' : 'the same'}, PSI ${psi.toFixed(3)}.${means}`;
}

function overlaid(feature: FeatureDrift): Html | null {
  const { histogram, unit } = feature;
  if (!histogram) return null;
  const { from, to, base, now } = histogram;
  // What stands still has one bar as high as the picture: the other side is drawn by its own height then.
  const top = Math.max(...base, ...now, 1e-12);
  const count = base.length;
  const x = (i: number) => margin.left + (i / count) * (width - margin.left - margin.right);
  const y = (share: number) => height - margin.bottom - (share / top) * (height - margin.top - margin.bottom);
  const steps = (shares: number[]) =>
    shares
      .map(
        (share, i) =>
          `${x(i).toFixed(1)},${y(share).toFixed(1)} ${x(i + 1).toFixed(1)},${y(share).toFixed(1)}`,
      )
      .join(' ');
  const foot = y(0).toFixed(1);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share, i) => {
    const anchor = i === 0 ? 'start' : i === 4 ? 'end' : 'middle';
    const digits = Math.min(20, Math.max(0, 2 - Math.floor(Math.log10(to - from))));
    const value = Number((from + share * (to - from)).toFixed(digits));
    return html`<text class="tick" text-anchor="${anchor}" x="${x(share * count).toFixed(1)}" y="${height - margin.bottom + 17}">${value}${i === 4 && unit !== null ? ` ${unit}` : ''}</text>`;
  });
  return html`<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${spoken(feature)}"><polygon class="area series-1" points="${x(0).toFixed(1)},${foot} ${steps(base)} ${x(count).toFixed(1)},${foot}"/><polyline class="line series-2" points="${x(0).toFixed(1)},${foot} ${steps(now)} ${x(count).toFixed(1)},${foot}"/><line class="axis" x1="${margin.left}" x2="${width - margin.right}" y1="${foot}" y2="${foot}"/>${ticks}</svg>`;
}

function bars(feature: FeatureDrift): Html | null {
  const { words, base, now } = feature.bins;
  if (!words || words.length === 0) return null;
  const order = words.map((_, i) => i).sort((a, b) => base[b]! + now[b]! - base[a]! - now[a]!);
  const shown = order.slice(0, mostWords);
  const top = Math.max(...shown.flatMap((i) => [base[i]!, now[i]!]), 1e-12);
  const wide = (share: number) => ((share / top) * 250).toFixed(1);
  const rows = shown.map((i, row) => {
    const at = row * 30;
    const name = words[i]!;
    return html`<text class="name" text-anchor="end" x="128" y="${at + 18}">${name.length > 18 ? `${name.slice(0, 17)}…` : name}</text><rect class="bar base" x="136" y="${at + 4}" width="${wide(base[i]!)}" height="10"/><rect class="bar now" x="136" y="${at + 15}" width="${wide(now[i]!)}" height="10"/><text class="tick" x="${(144 + (Math.max(base[i]!, now[i]!) / top) * 250).toFixed(1)}" y="${at + 19}">${(now[i]! * 100).toFixed(1)} %</text>`;
  });
  return html`<svg viewBox="0 0 ${width} ${shown.length * 30 + 4}" role="img" aria-label="${spoken(feature)}">${rows}</svg>`;
}
