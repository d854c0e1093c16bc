import { type Html, histogram, html } from '../../../formats/index.js';
import type { FeatureDrift } from '../result.js';

const width = 440;
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
  if (!feature.histogram) return null;
  const { from, to, base, now } = feature.histogram;
  return histogram({ from, to, area: base, line: now, unit: feature.unit, spoken: spoken(feature) });
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
