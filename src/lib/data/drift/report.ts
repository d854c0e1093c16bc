import { percent, thousands } from '../../core/figures.js';
import { refuseInputs, writeFileAtomic } from '../../core/files.js';
import { aiotVersion } from '../../core/folders.js';
import { type Html, html, htmlTable, reportPage } from '../../formats/html.js';
import { checkList, factList, histogram, legend, tileRow } from '../../formats/html-charts.js';
import type { Drift, FeatureDrift } from './result.js';

/** @throws AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE */
export async function writeDriftReport(file: string, drift: Drift): Promise<void> {
  await refuseInputs([file], [drift.base.name, drift.now.name]);
  await writeFileAtomic(file, driftPage(drift));
}

/** A comparison as a self-contained HTML page: verdict, limits, metrics, overlaid distributions, windows. */
export function driftPage(drift: Drift): string {
  const { base, now, features, label, prediction } = drift;
  const all = [...features, ...(label ? [label] : []), ...(prediction ? [prediction] : [])];
  const sorted = [...all].sort((a, b) => Number(b.drifted) - Number(a.drifted));
  return reportPage({
    title: `Drift: ${now.name} compared with ${base.name}`,
    heading: verdict(drift, all),
    lead: `${now.name}, ${thousands(now.rows)} rows, compared with the reference ${base.name}, ${thousands(base.rows)} rows${drift.approximate ? ' (from a saved profile)' : ''}. The false-positive rate is at most ${percent(drift.alpha)}.`,
    sections: [
      tiles(drift, all),
      gates(drift),
      html`<h2>Metrics</h2>${figures(drift, all)}
<p class="lead" style="margin-top:12px">PSI and Jensen–Shannon divergence are computed over the bins of the reference. KS: the largest gap between the two distributions. Distance: Wasserstein distance in standard deviations of the reference. p: the probability of a change this large without drift.</p>`,
      windowStrip(drift),
      html`<h2>Distributions</h2><div class="cards">${sorted.map(card)}</div>`,
      together(drift),
      notes(drift),
    ],
    aiot: aiotVersion(),
  });
}

function verdict({ drifted }: Drift, all: FeatureDrift[]): string {
  if (!drifted) return 'No drift';
  const names = all.filter((one) => one.drifted).map(({ name }) => name);
  if (names.length === 0) return 'Joint drift of all columns';
  return `Drift in ${names.slice(0, 4).join(', ')}${names.length > 4 ? ` and ${names.length - 4} more` : ''}`;
}

function tiles({ joint, now }: Drift, all: FeatureDrift[]): Html {
  const list: [string, string][] = [
    ['columns drifted', `${all.filter(({ drifted }) => drifted).length} of ${all.length}`],
    ['largest PSI', Math.max(0, ...all.map(({ psi }) => psi)).toFixed(3)],
    ...(joint
      ? ([['AUC of a classifier of both datasets', joint.auc.toFixed(3)]] as [string, string][])
      : []),
    ['current rows', thousands(now.rows)],
  ];
  return tileRow(list);
}

function gates({ gates: list }: Drift): Html | null {
  if (list.length === 0) return null;
  return html`<h2>Gates</h2>${checkList(list.map(({ passed, message }) => ({ passed, text: message })))}`;
}

function figures({ label, prediction }: Drift, all: FeatureDrift[]): Html {
  const figure = (value: number | null) => (value === null ? '–' : value.toFixed(3));
  const rows = all.map((one) => {
    const role = one === label ? ' (label)' : one === prediction ? ' (prediction)' : '';
    const state = one.drifted
      ? html`<span class="bad">✗ drifted</span>`
      : html`<span class="good">✓ unchanged</span>`;
    return [
      one.name + role,
      state,
      figure(one.psi),
      figure(one.js),
      figure(one.ks),
      figure(one.wassersteinScaled),
      one.p < 1e-4 ? html`&lt; 0.0001` : one.p.toFixed(4),
      one.since && one.since.row > 1 ? sinceText(one.since) : one.drifted ? 'the start' : '–',
    ];
  });
  return htmlTable(['Column', 'Verdict', 'PSI', 'Jensen–Shannon', 'KS', 'Distance', 'p', 'Since'], rows);
}

function sinceText({ row, time, seconds }: NonNullable<FeatureDrift['since']>): string {
  const at = time ?? (seconds === null ? null : `${Number(seconds.toPrecision(6))} s`);
  return at === null
    ? `row ${thousands(row)}`
    : `${at.replace('T', ' ').replace('.000Z', ' UTC')}, row ${thousands(row)}`;
}

function card(one: FeatureDrift): Html {
  const { name, unit, drifted, reasons, bins, hint, shift, spread } = one;
  const moves =
    reasons.length === 0 ||
    reasons.some(
      (reason) => reason === 'distribution' || reason === 'mean' || reason === 'spread' || reason === 'stuck',
    );
  const keys = legend([
    { name: 'reference', paint: 1 },
    { name: 'current', paint: 2 },
  ]);
  const moved =
    moves && shift !== null && spread !== null
      ? `Mean ${shift >= 0 ? '+' : '−'}${Math.abs(shift).toFixed(2)} standard deviations, spread ×${spread.toFixed(2)}. `
      : '';
  const why = drifted ? `Drifted: ${reasons.join(', ')}. ` : '';
  const guess = hint === null ? '' : `Possible change of unit: ${hint}. `;
  const share = (value: number) => percent(value);
  const names = bins.words ?? binNames(bins.cuts ?? []);
  const rows = names.map((bin, i) => [bin, share(bins.base[i] ?? 0), share(bins.now[i] ?? 0)]);
  return html`<figure><figcaption>${name}${unit === null ? '' : `, ${unit}`}${keys}</figcaption>${distributionChart(one) ?? html`<p class="soft">One of the two datasets has no values.</p>`}<p class="why${drifted ? ' bad' : ' soft'}">${why}${guess}${moved}</p><details><summary>Shares by bin</summary>${htmlTable(['Bin', 'Reference', 'Current'], rows)}</details></figure>`;
}

function binNames(cuts: number[]): string[] {
  const short = (value: number) => String(Number(value.toPrecision(4)));
  if (cuts.length === 0) return [];
  return [
    `below ${short(cuts[0]!)}`,
    ...cuts.slice(1).map((cut, i) => `${short(cuts[i]!)} to ${short(cut)}`),
    `from ${short(cuts.at(-1)!)}`,
  ];
}

function together({ joint }: Drift): Html | null {
  if (!joint) return null;
  const [low, high] = joint.interval;
  const pairs = joint.pairs.map(({ a, b, base, now }) => [`${a} and ${b}`, base.toFixed(2), now.toFixed(2)]);
  const table =
    joint.drifted && pairs.length > 0 ? htmlTable(['Correlation of', 'Reference', 'Current'], pairs) : null;
  return html`<h2>Joint drift</h2><p>A classifier that separates current rows from reference rows reaches an AUC of ${joint.auc.toFixed(3)} (99 % interval ${low.toFixed(3)} to ${high.toFixed(3)}) on held-out rows. An AUC of 0.5 is chance. ${joint.drifted ? 'The datasets differ.' : 'This is not drift.'}</p>${table}`;
}

function notes({ onlyInBase, onlyInNow, ignored }: Drift): Html | null {
  const list: [string, string][] = [
    ...(onlyInBase.length > 0
      ? ([['Columns only in the reference', onlyInBase.join(', ')]] as [string, string][])
      : []),
    ...(onlyInNow.length > 0
      ? ([['Columns only in the current data', onlyInNow.join(', ')]] as [string, string][])
      : []),
    ...ignored.map(({ name, why }): [string, string] => [name, `not compared: ${why}`]),
  ];
  if (list.length === 0) return null;
  return html`<h2>Not compared</h2>${factList(list)}`;
}

const width = 440;

/** Maximum number of categories drawn. The table below the chart lists all. */
const mostWords = 12;

/** Both distributions overlaid: the base as an area, NOW as a line. For text, two bars per category. */
function distributionChart(feature: FeatureDrift): Html | null {
  return feature.kind === 'number' ? overlaid(feature) : bars(feature);
}

/** A description of the chart for readers who cannot see it. */
function spoken({ name, base, now, psi, drifted, unit }: FeatureDrift): string {
  const figure = (value: number | null) =>
    value === null ? 'nothing' : String(Number(value.toPrecision(4)));
  const own = unit === null ? '' : ` ${unit}`;
  const means =
    base.mean === null ? '' : ` The mean was ${figure(base.mean)}${own} and is ${figure(now.mean)}${own}.`;
  return `Distribution of ${name}: ${drifted ? 'drifted' : 'unchanged'}, PSI ${psi.toFixed(3)}.${means}`;
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

/** Maximum number of columns in the strip. If there are more windows, only every second, third … is drawn. */
const most = 60;

/** PSI at or above which the color is fully saturated. */
const full = 1;

/** PSI of each column in each window, as a color that is darker for larger values, and as a number. */
function windowStrip({ windows, features }: Drift): Html | null {
  if (windows.length === 0) return null;
  const every = Math.ceil(windows.length / most);
  const shown = windows.filter((_, i) => i % every === 0);
  const days = new Set(shown.map(({ time }) => time?.slice(0, 10)));
  const head = shown.map(({ time, seconds, row }, i) => {
    const at = time
      ? time.slice(days.size > 1 ? 5 : 11, 16).replace('T', ' ')
      : seconds === null
        ? `row ${row}`
        : `${Number(seconds.toPrecision(4))} s`;
    return html`<th scope="col">${i % Math.ceil(shown.length / 12) === 0 ? at : ''}</th>`;
  });
  const rows = features.map(({ name }) => {
    const cells = shown.map(({ features: own }) => {
      const one = own.find((feature) => feature.name === name);
      if (!one) return html`<td>–</td>`;
      const share = Math.round(Math.min(1, one.psi / full) * 85);
      return html`<td class="cell${one.drifted ? ' over' : ''}${share > 55 ? ' strong' : ''}" style="--share:${share}%">${one.psi < 0.005 ? '0' : one.psi.toFixed(one.psi < 9.95 ? 2 : 0)}</td>`;
    });
    return html`<tr><th scope="row">${name}</th>${cells}</tr>`;
  });
  const rest = every > 1 ? ` Shown: 1 in ${every} of ${windows.length} windows.` : '';
  return html`<h2>Over time</h2><div class="scroll strip"><table><thead><tr><th scope="col">PSI</th>${head}</tr></thead><tbody>${rows}</tbody></table></div><p class="lead" style="margin-top:12px">PSI of each column in each window of the current data, relative to the reference. Outlined: drifted.${rest}</p>`;
}
