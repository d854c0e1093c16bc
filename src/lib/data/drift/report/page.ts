import { aiotVersion, percent, thousands } from '../../../core/index.js';
import {
  checkList,
  factList,
  type Html,
  html,
  htmlTable,
  legend,
  reportPage,
  tileRow,
} from '../../../formats/index.js';
import type { Drift, FeatureDrift } from '../result.js';
import { distributionChart } from './charts.js';
import { windowStrip } from './windows.js';

/** A comparison as one HTML page that loads nothing: verdict, limits, figures, distributions over each other, windows. */
export function driftPage(drift: Drift): string {
  const { base, now, features, label, prediction } = drift;
  const all = [...features, ...(label ? [label] : []), ...(prediction ? [prediction] : [])];
  const sorted = [...all].sort((a, b) => Number(b.drifted) - Number(a.drifted));
  return reportPage({
    title: `Drift: ${now.name} against ${base.name}`,
    heading: verdict(drift, all),
    lead: `${now.name}, ${thousands(now.rows)} rows, against ${base.name}, ${thousands(base.rows)} rows${drift.approximate ? ', known by a saved reference' : ''}. Of comparisons without any change, ${percent(drift.alpha)} would be called drifted.`,
    sections: [
      tiles(drift, all),
      gates(drift),
      html`<h2>Figures</h2>${figures(drift, all)}
<p class="lead" style="margin-top:12px">PSI and Jensen–Shannon over the base’s bins; KS: the largest gap of the two distributions; distance: Wasserstein, in deviations of the base; p: the chance of a change as large where nothing has changed.</p>`,
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
  if (names.length === 0) return 'Drift of all columns together';
  return `Drift in ${names.slice(0, 4).join(', ')}${names.length > 4 ? ` and ${names.length - 4} more` : ''}`;
}

function tiles({ joint, now }: Drift, all: FeatureDrift[]): Html {
  const list: [string, string][] = [
    ['columns drifted', `${all.filter(({ drifted }) => drifted).length} of ${all.length}`],
    ['largest PSI', Math.max(0, ...all.map(({ psi }) => psi)).toFixed(3)],
    ...(joint
      ? ([['AUC of a classifier of the two sides', joint.auc.toFixed(3)]] as [string, string][])
      : []),
    ['rows now', thousands(now.rows)],
  ];
  return tileRow(list);
}

function gates({ gates: list }: Drift): Html | null {
  if (list.length === 0) return null;
  return html`<h2>Limits</h2>${checkList(list.map(({ passed, message }) => ({ passed, text: message })))}`;
}

function figures({ label, prediction }: Drift, all: FeatureDrift[]): Html {
  const figure = (value: number | null) => (value === null ? '–' : value.toFixed(3));
  const rows = all.map((one) => {
    const role = one === label ? ' (label)' : one === prediction ? ' (prediction)' : '';
    const state = one.drifted
      ? html`<span class="bad">✗ drifted</span>`
      : html`<span class="good">✓ same</span>`;
    return [
      one.name + role,
      state,
      figure(one.psi),
      figure(one.js),
      figure(one.ks),
      figure(one.wassersteinScaled),
      one.p < 1e-4 ? html`&lt; 0.0001` : one.p.toFixed(4),
      one.since && one.since.row > 1 ? sinceText(one.since) : one.drifted ? 'the beginning' : '–',
    ];
  });
  return htmlTable(['Column', '', 'PSI', 'Jensen–Shannon', 'KS', 'Distance', 'p', 'Since'], rows);
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
    { name: 'base', paint: 1 },
    { name: 'now', paint: 2 },
  ]);
  const moved =
    moves && shift !== null && spread !== null
      ? `Mean ${shift >= 0 ? '+' : '−'}${Math.abs(shift).toFixed(2)} deviations, spread ×${spread.toFixed(2)}. `
      : '';
  const why = drifted ? `Drifted: ${reasons.join(', ')}. ` : '';
  const guess = hint === null ? '' : `Looks like a change of unit: ${hint}. `;
  const share = (value: number) => percent(value);
  const names = bins.words ?? binNames(bins.cuts ?? []);
  const rows = names.map((bin, i) => [bin, share(bins.base[i] ?? 0), share(bins.now[i] ?? 0)]);
  return html`<figure><figcaption>${name}${unit === null ? '' : `, ${unit}`}${keys}</figcaption>${distributionChart(one) ?? html`<p class="soft">One side has no values.</p>`}<p class="why${drifted ? ' bad' : ' soft'}">${why}${guess}${moved}</p><details><summary>Shares by bin</summary>${htmlTable(['Bin', 'Base', 'Now'], rows)}</details></figure>`;
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
    joint.drifted && pairs.length > 0 ? htmlTable(['Correlation of', 'Base', 'Now'], pairs) : null;
  return html`<h2>All columns together</h2><p>A classifier tells rows of now from rows of the base with an area under the curve of ${joint.auc.toFixed(3)} (99 % interval ${low.toFixed(3)} to ${high.toFixed(3)}) on rows it was not trained on; 0.5 is by chance. ${joint.drifted ? 'They are not the same.' : 'That is no drift.'}</p>${table}`;
}

function notes({ onlyInBase, onlyInNow, ignored }: Drift): Html | null {
  const list: [string, string][] = [
    ...(onlyInBase.length > 0
      ? ([['Columns of the base alone', onlyInBase.join(', ')]] as [string, string][])
      : []),
    ...(onlyInNow.length > 0 ? ([['Columns of now alone', onlyInNow.join(', ')]] as [string, string][]) : []),
    ...ignored.map(({ name, why }): [string, string] => [name, `not compared: ${why}`]),
  ];
  if (list.length === 0) return null;
  return html`<h2>Not compared</h2>${factList(list)}`;
}
