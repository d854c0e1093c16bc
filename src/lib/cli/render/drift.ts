import { percent, plural, thousands } from '../../core/index.js';
import type { Drift } from '../../data/index.js';
import { halved, sparkline } from './sparkline.js';
import { bold, dim, green, red, yellow } from './style.js';
import { facts, table } from './text.js';

type Feature = Drift['features'][number];

/** Rows of a table of windows; more are told of in --json. */
const mostWindows = 48;

/** What has drifted, how far and since when, and what could not be compared. */
export function driftText(drift: Drift): string {
  const { base, now, features, label, prediction, joint, gates } = drift;
  const all = [...features, ...(label ? [label] : []), ...(prediction ? [prediction] : [])];
  const lines = [
    `${now.name}, ${plural(now.rows, 'row')}, against ${base.name}, ${plural(base.rows, 'row')}${drift.approximate ? ' (a saved reference: ks and distance to a thousandth)' : ''}`,
    '',
    table(
      ['column', '', 'psi', 'js', 'ks', 'distance', 'p', 'base', 'now'],
      all.map((one) => rowOf(one, roleOf(one, drift))),
    ),
    dim(
      'psi, js: over the bins · ks: largest gap of the distributions · distance: Wasserstein, in deviations of the base · p: chance of it without change',
    ),
  ];
  for (const one of all) if (one.drifted) lines.push('', ...driftedLines(one));
  if (joint) lines.push('', ...jointLines(joint));
  if (drift.windows.length > 0) lines.push('', windowsTable(drift));
  lines.push(...notes(drift));
  lines.push('', verdict(drift, all));
  if (gates.length > 0) {
    lines.push(
      '',
      facts(
        gates.map(({ name, message, passed }) => [
          `Limit ${name}`,
          `${passed ? green('✓') : red('✗')} ${message}`,
        ]),
      ),
    );
  }
  return lines.join('\n');
}

function roleOf({ name }: Feature, { label, prediction }: Drift): string {
  if (label?.name === name) return ' (label)';
  return prediction?.name === name ? ' (prediction)' : '';
}

function rowOf(one: Feature, role: string): (string | number | null)[] {
  const figure = (value: number | null) => (value === null ? null : Number(value.toFixed(3)));
  return [
    one.name + role,
    one.drifted ? red('drifted') : green('same'),
    figure(one.psi),
    figure(one.js),
    figure(one.ks),
    figure(one.wassersteinScaled),
    chance(one.p),
    sparkline(one.histogram ? halved(one.histogram.base) : one.bins.base),
    sparkline(one.histogram ? halved(one.histogram.now) : one.bins.now),
  ];
}

function chance(p: number): string {
  return p < 0.0001 ? '<0.0001' : p.toFixed(4);
}

function driftedLines(one: Feature): string[] {
  const { name, reasons, since, hint, shift, spread, unit, base, now } = one;
  const short = (value: number) => String(Number(value.toPrecision(4)));
  const what: string[] = [];
  if (reasons.includes('type'))
    what.push(one.kind === 'text' ? 'numbers became words' : 'words became numbers');
  if (reasons.includes('stuck'))
    what.push(`one value over ${plural(now.longestRun, 'row')}, ${base.longestRun} at most before`);
  if (reasons.includes('infinite')) what.push(`${plural(now.infinite, 'infinite value')}, none before`);
  if (reasons.includes('missing'))
    what.push(`${percent(now.missing / now.rows)} missing, ${percent(base.missing / base.rows)} before`);
  if (one.newCategories.length > 0)
    what.push(`new: ${one.newCategories.slice(0, 5).join(', ')}${one.newCategories.length > 5 ? ' …' : ''}`);
  const moved = (['distribution', 'mean', 'spread'] as const).some((reason) => reasons.includes(reason));
  if (moved && shift !== null && spread !== null && base.mean !== null && now.mean !== null) {
    const own = unit === null ? '' : ` ${unit}`;
    what.push(
      `mean ${short(base.mean)} → ${short(now.mean)}${own} (${shift < 0 ? '−' : '+'}${short(Math.abs(shift))} deviations), spread ×${short(spread)}`,
    );
  }
  if (hint !== null) what.push(`looks like a change of unit: ${hint}`);
  return [
    `${red('✗')} ${bold(name)}  ${what.join('; ') || 'its shares are others'}`,
    ...(since ? [`  ${dim(sinceText(since))}`] : []),
  ];
}

function sinceText({ row, share, time, seconds }: NonNullable<Feature['since']>): string {
  if (row === 1) return 'from the first row on';
  const at = time ?? (seconds === null ? null : `${Number(seconds.toPrecision(6))} s`);
  return `since row ${thousands(row)}${at === null ? '' : `, ${at}`} (${percent(share)} of the rows before it)`;
}

function jointLines({ auc, interval, drifted, pairs }: NonNullable<Drift['joint']>): string[] {
  const mark = drifted ? red('✗') : green('✓');
  const [low, high] = interval.map((value) => value.toFixed(3));
  const lines = [
    `${mark} ${bold('all together')}  a classifier tells the two apart with an AUC of ${auc.toFixed(3)} (${low} to ${high}); 0.5 is by chance`,
  ];
  for (const { a, b, base, now } of drifted ? pairs : []) {
    lines.push(`  ${dim(`correlation of ${a} and ${b}: ${base.toFixed(2)} before, ${now.toFixed(2)} now`)}`);
  }
  return lines;
}

function windowsTable({ windows, features }: Drift): string {
  const shown = windows.slice(0, mostWindows);
  const rows = shown.map(({ row, rows: count, time, seconds, features: own }) => [
    time ?? (seconds === null ? `row ${row}` : `${Number(seconds.toPrecision(6))} s`),
    count,
    ...features.map(({ name }) => {
      const one = own.find((feature) => feature.name === name);
      if (!one) return null;
      const psi = one.psi.toFixed(2);
      return one.drifted ? red(`${psi} ✗`) : psi;
    }),
  ]);
  const more =
    windows.length > shown.length
      ? `\n${dim(`and ${windows.length - shown.length} more: --json has them all`)}`
      : '';
  return `${table(['window', 'rows', ...features.map(({ name }) => `psi ${name}`)], rows)}${more}`;
}

function notes({ onlyInBase, onlyInNow, ignored, features }: Drift): string[] {
  const lines: string[] = [];
  if (onlyInBase.length > 0) lines.push(`${yellow('!')} gone: ${onlyInBase.join(', ')}`);
  if (onlyInNow.length > 0) lines.push(`${yellow('!')} new: ${onlyInNow.join(', ')}`);
  if (ignored.length > 0) lines.push(dim(`not compared: ${ignored.map(({ name }) => name).join(', ')}`));
  const slow = features
    .filter(({ effective }) => Math.min(effective.base, effective.now) < 10)
    .map(({ name }) => name);
  if (slow.length > 0) {
    lines.push(
      `${yellow('!')} ${slow.join(', ')}: worth fewer than ten independent rows on a side; only large changes can be told from its own wandering`,
    );
  }
  return lines.length > 0 ? ['', ...lines] : [];
}

function verdict({ drifted, alpha, joint }: Drift, all: Feature[]): string {
  if (!drifted) return green(`No drift (of unchanged data, ${percent(alpha)} would be called drifted).`);
  const names = all.filter((one) => one.drifted).map(({ name }) => name);
  if (names.length === 0 && joint?.drifted) return red('Drift: no column alone, but all together.');
  return red(`Drift in ${names.join(', ')}.`);
}
