import { percent, plural, thousands } from '../../core/figures.js';
import { type CheckReport, findingCounts } from '../../data/check/report.js';
import type { DatasetSummary, RecordingDetail, RecordingLine } from '../../data/dataset/summary.js';
import type { Drift } from '../../data/drift/result.js';
import type { SchemaResult } from '../../data/schema.js';
import type { Extracted } from '../../data/sources/extract.js';
import type { Synthesis } from '../../data/speech.js';
import type { Statistics } from '../../data/statistics.js';
import type { TimeColumn } from '../../data/tables/columns.js';
import type { DrawnPictures } from '../../data/tray.js';
import type { Suggestions } from '../../model/suggest.js';
import { halved, sparkline } from './chart.js';
import { bold, dim, facts, green, moment, red, shownPath, table, yellow } from './text.js';

const marks = { error: () => red('✗'), warning: () => yellow('!'), info: () => dim('i') };

/** Maximum number of files listed per finding, unless all are requested. */
const mostFiles = 6;

/** Findings of a check, worst first, each with its problem, fix and affected files. */
export function checkText(report: CheckReport, { all = false } = {}): string {
  const { findings } = report;
  const lines = [headOf(report), ...splitOf(report)];
  for (const { severity, kind, confidence, message, advice, files } of findings) {
    const sure = confidence === 'certain' ? '' : dim(` (${confidence})`);
    lines.push('', `${marks[severity]()} ${bold(kind)}${sure}  ${message}`, `  ${dim(advice)}`);
    // If there are few files, the message already lists them.
    if (files.length > 2) lines.push(`  ${dim(shortened(files, all ? files.length : mostFiles))}`);
  }
  lines.push('', findingCounts(findings) || green('No problems found.'));
  return lines.join('\n');
}

function headOf({ of, recordings, samples, rateHz, rateFrom, timeColumn, labelFrom }: CheckReport): string {
  if (of === 'table') return `${plural(samples, 'row')} in ${plural(recordings, 'file')}`;
  const rate = {
    told: `, ${rateHz} Hz`,
    time: `, ${rateHz} Hz according to the time column${timeColumn === null ? '' : ` ${timeColumn}`}`,
    assumed: `, assumed ${rateHz} Hz (set it with --rate)`,
    none: '',
  }[rateFrom ?? 'none'];
  const labels = {
    name: ', labels from file names',
    folder: ', labels from folders',
    column: ', labels from a column',
    none: ', no labels',
  };
  return `${plural(recordings, 'recording')}, ${plural(samples, 'sample')}${rate}${labelFrom === null ? '' : labels[labelFrom]}`;
}

const unitText = {
  ns: 'in ns',
  us: 'in µs',
  ms: 'in ms',
  s: 'in s',
  min: 'in minutes',
  h: 'in hours',
  date: 'dates or times of day',
};

/** A time column and its unit, such as `timestamp_ms, in ms since 1970`. */
export function timeText({ name, unit, sinceEpoch }: TimeColumn): string {
  if (unit === null)
    return `${name}, which aiot cannot read: use numbers, or dates such as 2026-03-01T10:00:00Z`;
  return `${name}, ${unitText[unit]}${sinceEpoch && unit !== 'date' ? ' since 1970' : ''}`;
}

function splitOf({ split }: CheckReport): string[] {
  if (!split) return [];
  const seed = split.seed === null ? '' : `, seed ${split.seed}`;
  return [
    `Split by ${split.by}${seed}: ${split.train} for training, ${split.validation} for validation, ${split.test} for testing`,
  ];
}

/** Names of files, such as `a1, a2 … and 12 more`. Names with consecutive numbers are combined: `walking1–5`. */
function shortened(files: string[], most: number): string {
  const drawn = ranges(files);
  if (drawn.length <= most) return drawn.join(', ');
  return `${drawn.slice(0, most - 1).join(', ')} and ${drawn.length - most + 1} more (use --all for all)`;
}

function ranges(files: string[]): string[] {
  const stems = new Map<string, string[]>();
  const others: string[] = [];
  for (const file of files) {
    const parts = /^(.*?)(\d{1,6})(\.csv)?$/.exec(file);
    if (!parts) others.push(file);
    else {
      const key = `${parts[1]}\n${parts[3] ?? ''}`;
      stems.set(key, [...(stems.get(key) ?? []), parts[2]!]);
    }
  }
  const drawn = [...stems].flatMap(([key, numbers]) => {
    const [stem = '', end = ''] = key.split('\n');
    numbers.sort((a, b) => Number(a) - Number(b));
    const out: string[] = [];
    for (let i = 0; i < numbers.length; ) {
      let last = i;
      while (follows(numbers[last]!, numbers[last + 1])) last++;
      out.push(last - i > 1 ? `${stem}${numbers[i]}–${numbers[last]}${end}` : `${stem}${numbers[i]}${end}`);
      i = last - i > 1 ? last + 1 : i + 1;
    }
    return out;
  });
  return [...drawn, ...others];
}

/** Whether a number in a name follows another one with the same zero padding: 10 follows 09, but 010 does not follow 9. */
function follows(number: string, next: string | undefined): boolean {
  return next === String(Number(number) + 1).padStart(/^0./.test(number) ? number.length : 0, '0');
}

type Field = Statistics['fields'][number];

/** Maximum rows of a table of groups. */
const mostGroups = 40;

/** Maximum number of categories listed. */
const mostCategories = 8;

/** One line per field, with its statistics by label (or recording). */
export function statisticsText(found: Statistics, by: 'label' | 'recording' = 'label'): string {
  const { name, rows, rateHz, fields, label, prediction, ignored } = found;
  const numbers = fields.filter(({ kind }) => kind === 'number');
  const words = [...fields, ...(label ? [label] : []), ...(prediction ? [prediction] : [])].filter(
    ({ kind }) => kind === 'text',
  );
  const lines = [`${name}: ${plural(rows, 'row')}${rateHz === null ? '' : ` at ${rateHz} Hz`}`];
  if (numbers.length > 0) {
    lines.push(
      '',
      table(
        ['field', 'unit', 'missing', 'min', '5 %', 'median', '95 %', 'max', 'mean', 'deviation', ''],
        numbers.map(numberRow),
      ),
    );
  }
  for (const field of words) lines.push('', wordLines(field));
  const groups = by === 'label' ? found.byLabel : found.byRecording;
  if (groups.length > 0 && numbers.length > 0) {
    const shown = groups.slice(0, mostGroups);
    const cells = shown.map(({ name: group, rows: count, fields: own }) => [
      group,
      count,
      ...numbers.map((field) => {
        const one = own.find((each) => each.name === field.name);
        return one?.mean == null || one.deviation === null
          ? null
          : `${short(one.mean)} ± ${short(one.deviation)}`;
      }),
    ]);
    lines.push('', table([by, 'rows', ...numbers.map((field) => field.name)], cells));
    if (groups.length > shown.length)
      lines.push(dim(`and ${groups.length - shown.length} more; use --json for all`));
  }
  if (ignored.length > 0) lines.push('', dim(`ignored: ${ignored.join(', ')}`));
  return lines.join('\n');
}

function numberRow({ name, unit, rows, count, min, max, mean, deviation, quantiles, histogram }: Field) {
  const figure = (value: number | null | undefined) => (value == null ? null : short(value));
  return [
    name,
    unit,
    count === rows ? '–' : percent((rows - count) / rows),
    figure(min),
    figure(quantiles?.p05),
    figure(quantiles?.p50),
    figure(quantiles?.p95),
    figure(max),
    figure(mean),
    figure(deviation),
    histogram ? sparkline(halved(histogram.shares)) : '',
  ];
}

function wordLines({ name, categories, rows, missing }: Field): string {
  const list = categories ?? [];
  const shown = list.slice(0, mostCategories).map(({ word, count }) => `${word} ${percent(count / rows)}`);
  if (list.length > mostCategories) shown.push(`and ${list.length - mostCategories} more`);
  if (missing > 0) shown.push(`missing ${percent(missing / rows)}`);
  return `${bold(name)}  ${list.length === 0 ? 'as many values as rows' : shown.join(', ')}`;
}

function short(value: number): number {
  return Number(value.toPrecision(4));
}

type Feature = Drift['features'][number];

/** Maximum number of windows in the table. --json contains all of them. */
const mostWindows = 48;

/** Drifted columns, with the extent and the start of the drift, and columns that could not be compared. */
export function driftText(drift: Drift): string {
  const { base, now, features, label, prediction, joint, gates } = drift;
  const all = [...features, ...(label ? [label] : []), ...(prediction ? [prediction] : [])];
  const lines = [
    `${now.name}, ${plural(now.rows, 'row')}, compared with ${base.name}, ${plural(base.rows, 'row')}${drift.approximate ? ' (a saved reference: ks and distance are accurate to 0.001)' : ''}`,
    '',
    table(
      ['column', '', 'psi', 'js', 'ks', 'distance', 'p', 'base', 'now'],
      all.map((one) => rowOf(one, roleOf(one, drift))),
    ),
    dim(
      'psi, js: over the bins · ks: largest gap between the distributions · distance: Wasserstein, in standard deviations of the baseline · p: probability without drift',
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
    what.push(one.kind === 'text' ? 'numbers became text' : 'text became numbers');
  if (reasons.includes('stuck'))
    what.push(`constant over ${plural(now.longestRun, 'row')}, at most ${base.longestRun} before`);
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
  if (hint !== null) what.push(`possible change of unit: ${hint}`);
  return [
    `${red('✗')} ${bold(name)}  ${what.join('; ') || 'its distribution changed'}`,
    ...(since ? [`  ${dim(sinceText(since))}`] : []),
  ];
}

function sinceText({ row, share, time, seconds }: NonNullable<Feature['since']>): string {
  if (row === 1) return 'from the first row';
  const at = time ?? (seconds === null ? null : `${Number(seconds.toPrecision(6))} s`);
  return `since row ${thousands(row)}${at === null ? '' : `, ${at}`} (after ${percent(share)} of the rows)`;
}

function jointLines({ auc, interval, drifted, pairs }: NonNullable<Drift['joint']>): string[] {
  const mark = drifted ? red('✗') : green('✓');
  const [low, high] = interval.map((value) => value.toFixed(3));
  const lines = [
    `${mark} ${bold('all columns')}  a classifier distinguishes the two with an AUC of ${auc.toFixed(3)} (${low} to ${high}); 0.5 is chance level`,
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
      ? `\n${dim(`and ${windows.length - shown.length} more; use --json for all`)}`
      : '';
  return `${table(['window', 'rows', ...features.map(({ name }) => `psi ${name}`)], rows)}${more}`;
}

function notes({ onlyInBase, onlyInNow, ignored, features }: Drift): string[] {
  const lines: string[] = [];
  if (onlyInBase.length > 0) lines.push(`${yellow('!')} only in the baseline: ${onlyInBase.join(', ')}`);
  if (onlyInNow.length > 0) lines.push(`${yellow('!')} only in the new data: ${onlyInNow.join(', ')}`);
  if (ignored.length > 0) lines.push(dim(`not compared: ${ignored.map(({ name }) => name).join(', ')}`));
  const slow = features
    .filter(({ effective }) => Math.min(effective.base, effective.now) < 10)
    .map(({ name }) => name);
  if (slow.length > 0) {
    lines.push(
      `${yellow('!')} ${slow.join(', ')}: fewer than ten independent rows on one side; only large changes can be distinguished from normal variation`,
    );
  }
  return lines.length > 0 ? ['', ...lines] : [];
}

function verdict({ drifted, alpha, joint }: Drift, all: Feature[]): string {
  if (!drifted) return green(`No drift (the false-positive rate is ${percent(alpha)}).`);
  const names = all.filter((one) => one.drifted).map(({ name }) => name);
  if (names.length === 0 && joint?.drifted)
    return red('Drift: no single column has drifted, but their combination has.');
  return red(`Drift in ${names.join(', ')}.`);
}

/** Maximum number of a column's words listed. */
const mostWords = 6;

/** The inferred schema; if it was compared with another one, the violations. */
export function schemaText({ schema, against, violations }: SchemaResult): string {
  const lines = [`${schema.name}: ${plural(schema.rows, 'row')}`, '', fieldsTable(schema.fields)];
  for (const { severity, kind, message, count, places, against: by } of violations) {
    const mark = severity === 'error' ? red('✗') : yellow('!');
    lines.push('', `${mark} ${bold(kind)}  ${message} (${by})`);
    const rows = places.map(
      ({ row, recording, value }) =>
        `${recording === null ? '' : `${recording}:`}${row}${value === '' ? '' : ` (${value})`}`,
    );
    if (rows.length > 0)
      lines.push(
        `  ${dim(`rows ${rows.join(', ')}${count > rows.length ? ` and ${count - rows.length} more` : ''}`)}`,
      );
  }
  if (against.length > 0) {
    const errors = violations.filter(({ severity }) => severity === 'error').length;
    lines.push(
      '',
      errors > 0 ? red(plural(errors, 'violation')) : green(`Matches ${against.join(' and ')}.`),
    );
  }
  return lines.join('\n');
}

function fieldsTable(fields: SchemaResult['schema']['fields']): string {
  const short = (value: number) => Number(value.toPrecision(5));
  const rows = fields.map(({ name, type, unit, seen, range, missing, categories }) => [
    name,
    type,
    unit,
    seen && `${short(seen[0])} … ${short(seen[1])}`,
    range && `${short(range[0])} … ${short(range[1])}`,
    missing === 0 ? null : percent(missing),
    categories && `${categories.slice(0, mostWords).join(', ')}${categories.length > mostWords ? ' …' : ''}`,
  ]);
  return table(['field', 'type', 'unit', 'seen', 'range', 'missing', 'categories'], rows);
}

/** The recordings of a project, and their totals. */
export function summaryText({ recordings, labels, objects, fields, rateHz, digest }: DatasetSummary): string {
  const pictures = arePictures(recordings);
  const byLabel = Object.entries(labels).map(
    ([label, { recordings, seconds }]) =>
      `${label || 'unlabeled'} ${recordings}${pictures ? '' : ` (${Math.round(seconds)} s)`}`,
  );
  const rows: [string, string][] = [
    ...(byLabel.length > 0 ? [['Labels', byLabel.join(', ')] as [string, string]] : []),
    ...(objects ? [['Objects', objectsText(objects)] as [string, string]] : []),
    ['Fields', `${fields.join(', ')}${pictures ? '' : ` at ${rateHz} Hz`}`],
    ['Digest', digest],
  ];
  return `${recordingsTable(recordings)}\n\n${facts(rows)}`;
}

/** Whether all recordings are pictures, which have no length. */
function arePictures(recordings: readonly RecordingLine[]): boolean {
  return recordings.length > 0 && recordings.every(({ size }) => size !== undefined);
}

/** Number of objects of each label. */
export function objectsText(objects: Record<string, number>): string {
  const counts = Object.entries(objects).map(([label, count]) => `${label} ${count}`);
  return counts.length === 0 ? 'none' : counts.join(', ');
}

/** One recording: its facts, the statistics of its fields, and the objects of an annotated picture. */
export function recordingText(shown: RecordingDetail): string {
  const parts = [recordingFacts(shown), recordingFields(shown.fields)];
  if (shown.boxes?.length) parts.push(boxesTable(shown.boxes));
  if (shown.findings.length > 0)
    parts.push(shown.findings.map((text) => `${yellow('!')} ${text}`).join('\n'));
  return parts.join('\n\n');
}

function recordingFacts(shown: RecordingDetail): string {
  return facts([
    ['Recording', shown.id],
    ['Label', shown.label ?? 'none'],
    ...(shown.objects ? [['Objects', objectsText(shown.objects)] as [string, string]] : []),
    ['Device', shown.device ?? 'unknown'],
    ['Started', shown.startedAt === null ? 'unknown' : moment(shown.startedAt)],
    shown.size
      ? ['Picture', `${shown.size.width} × ${shown.size.height} pixels`]
      : ['Samples', `${shown.samples} at ${shown.rateHz} Hz, ${shown.seconds.toFixed(1)} s`],
    ['Windows', shown.windows],
    ['Repeated rows', percent(shown.repeats)],
  ]);
}

function boxesTable(boxes: NonNullable<RecordingDetail['boxes']>): string {
  const rows = boxes.map(({ label, x, y, width, height }) => [label, x, y, width, height]);
  return table(['object', 'x', 'y', 'width', 'height'], rows);
}

function recordingFields(fields: RecordingDetail['fields']): string {
  const figure = (value: number) => Number(value.toPrecision(4));
  const rows = fields.map(({ name, min, max, mean, deviation }) => [
    name,
    ...[min, max, mean, deviation].map(figure),
  ]);
  return table(['field', 'min', 'max', 'mean', 'deviation'], rows);
}

/** One line per recording. `empty` is shown if there are no recordings. */
export function recordingsTable(recordings: RecordingLine[], empty?: string): string {
  const bad = recordings.some(({ problems }) => problems !== undefined);
  const pictures = arePictures(recordings);
  const rows = recordings.map(({ id, label, device, samples, seconds, size, objects, problems = [] }) => [
    id,
    label === null && objects ? objectsText(objects) : label,
    device,
    ...(pictures ? [`${size!.width} × ${size!.height}`] : [samples, size ? null : `${seconds.toFixed(1)} s`]),
    ...(bad ? [problems.length === 0 ? '' : `${yellow('!')} ${problems.join(', ')}`] : []),
  ]);
  return table(
    [
      ...['recording', 'label', 'device'],
      ...(pictures ? ['pixels'] : ['samples', 'length']),
      ...(bad ? ['problems'] : []),
    ],
    rows,
    empty,
  );
}

/** How many sound files were resampled, and their rates; null = none. */
export function resampledText(resampled: Record<string, number>, rateHz: number): string | null {
  const rates = [...new Set(Object.values(resampled))].sort((a, b) => a - b);
  if (rates.length === 0) return null;
  const files = plural(Object.keys(resampled).length, 'sound file');
  return `${files} at ${rates.join(', ')} Hz resampled to ${rateHz} Hz`;
}

/** Recordings that could not be imported, each with the reason and the remedy; null = none. */
export function rejectedText(
  rejected: { stream: string | null; device: string; recording: string; reason: string; next: string }[],
): string | null {
  const lines = rejected.slice(0, mostFiles).flatMap(({ stream, device, recording, reason, next }) => {
    const place = [stream, device, recording].filter((name) => name !== null).join('/');
    return [`${yellow('!')} not imported: ${place}: ${reason}`, `  ${dim(next)}`];
  });
  if (rejected.length > mostFiles)
    lines.push(dim(`and ${rejected.length - mostFiles} more; use --json for all`));
  return lines.length === 0 ? null : lines.join('\n');
}

/** Numbers of annotations that were not imported; null = none. */
export function unusedText(
  unused: { unlabeled: number; crowds: number; unknown: number; cropped: number } | null,
): string | null {
  if (unused === null) return null;
  const reasons = [
    [unused.unlabeled, 'unlabeled picture'],
    [unused.crowds, 'crowd'],
    [unused.unknown, 'unknown object'],
    [unused.cropped, 'object beyond the edge'],
  ] as const;
  const shown = reasons.flatMap(([count, noun]) => (count > 0 ? [plural(count, noun)] : []));
  return shown.length === 0 ? null : `Not imported: ${shown.join(', ')}`;
}

/** Voices and labels of synthesized speech, and the number of recordings that the speech replaced. */
export function synthesisText(made: Synthesis): string {
  const { program, voices, recordings, labels, speechS, replaced, folder } = made;
  const sentences: [string, string] = ['Sentences', `${(speechS / 60).toFixed(1)} min of other words`];
  const counts = Object.entries(labels).map(([label, count]) => `${label} ${count}`);
  const before = replaced > 0 ? `, replacing ${replaced} earlier ones` : '';
  return facts([
    ['Voices', `${voices.length} of ${program}: synthetic, not people`],
    ['Recordings', `${recordings}: ${counts.join(', ')}${before}`],
    ...(speechS > 0 ? [sentences] : []),
    ['Folder', shownPath(folder)],
  ]);
}

/** Size and labels of drawn pictures, and the number of pictures that they replaced. */
export function drawnPicturesText(drawn: DrawnPictures): string {
  const { width, height, channels, recordings, labels, counted, replaced, folder } = drawn;
  const counts = Object.entries(labels).map(([label, count]) => `${label} ${count}`);
  const before = replaced > 0 ? `, replacing ${replaced} earlier ones` : '';
  return facts([
    ['Pictures', `${recordings}${counted === 'objects' ? ' with' : ':'} ${counts.join(', ')}${before}`],
    ['Size', `${width} × ${height}, ${channels === 1 ? 'gray' : 'in color'}; drawn, not photographed`],
    ['Folder', shownPath(folder)],
  ]);
}

const sources = { project: 'the project', platform: 'the platform', guide: "the guide's services" };

/** Size and source of a training dataset. */
export function extractedText({ out, kind, rows, recordings, source }: Extracted): string {
  const of = kind === 'table' ? plural(rows, 'row') : plural(recordings, 'recording');
  return `${out}: ${of} of ${sources[source]}`;
}

/** Notes about omitted data; none if all data was used. */
export function leftOutTexts({ unlabelled, rejected, malformed }: Extracted): string[] {
  return [
    ...(rejected > 0
      ? [
          `Left out ${plural(rejected, 'unusable recording')}; \`aiot data import --stream STREAM\` shows the reasons`,
        ]
      : []),
    ...(unlabelled > 0 ? [`Left out ${plural(unlabelled, 'recording')} without a label`] : []),
    ...(malformed > 0 ? [`Left out ${plural(malformed, 'invalid line')} of the guide's files`] : []),
  ];
}

/** Suggested recordings, best first, with the reasons. */
export function suggestionsText(suggestions: Suggestions): string {
  const { recordings, unlabelled, labelled, skipped, published, stream } = suggestions;
  const without = plural(unlabelled, 'recording');
  const lines = [`${without} without a label, ${thousands(labelled)} with a label of the model`, ''];
  const cells = recordings.map(({ id, windows, score, uncertainty, novelty, predicted, similarTo }, at) => [
    at + 1,
    id,
    windows,
    score.toFixed(2),
    uncertainty === null ? null : percent(uncertainty, 0),
    percent(novelty, 0),
    predicted === null ? null : `${predicted.class} (${percent(predicted.share, 0)})`,
    similarTo,
  ]);
  const columns = ['', 'recording', 'windows', 'score', 'uncertain', 'new', 'prediction', 'similar to'];
  lines.push(table(columns, cells, 'nothing to label'));
  if (skipped.length > 0) lines.push('');
  for (const { id, reason } of skipped.slice(0, mostFiles)) lines.push(dim(`skipped ${id}: ${reason}`));
  if (skipped.length > mostFiles)
    lines.push(dim(`and ${skipped.length - mostFiles} more; use --json for all`));
  if (published !== null)
    lines.push(
      '',
      `Published: the dashboard lists ${plural(published, 'recording')} under Datasets, ${stream}`,
    );
  return lines.join('\n');
}
