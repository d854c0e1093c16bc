import { elapsed, foldsText, percent, plural, shareText, size, thousands } from '../../core/figures.js';
import { telemetryNames } from '../../core/names.js';
import { shellWord } from '../../core/text.js';
import { findingCounts } from '../../data/check/report.js';
import type { DemoFolds, DemoResult } from '../../demo/demo.js';
import type { InitResult } from '../../project/init.js';
import type { Survey } from '../../project/own-project.js';
import { timeText } from './data.js';
import { bold, dim, facts, next, shownPath, table, yellow } from './text.js';

const rateWords = {
  told: 'as given',
  time: 'from the time column',
  assumed: 'assumed: the files do not contain it; set it with --rate',
};

/** Detected properties of the user's data. */
export function surveyText(survey: Survey): string {
  const {
    kind,
    count,
    fields,
    units,
    ignored,
    labels,
    labelFrom,
    labelColumn,
    measured,
    rateHz,
    rateFrom,
    time,
  } = survey;
  const lines: [string, string][] = [
    ['Data', plural(count, kind === 'rows' ? 'row' : 'recording')],
    ['Inputs', fields.map((field) => (units[field] ? `${field} (${units[field]})` : field)).join(', ')],
  ];
  if (ignored.length > 0) lines.push(['Left out', ignored.join(', ')]);
  if (survey.separators !== null) {
    const { cells, decimalComma } = survey.separators;
    lines.push(['Cells', `separated by ${cells}s${decimalComma ? ', with a decimal comma' : ''}`]);
  }
  if (time !== null) lines.push(['Time', `${timeText(time)}; not an input`]);
  if (rateHz !== null) lines.push(['Rate', `${rateHz} Hz, ${rateText()}`]);
  if (survey.accelerationUnit !== null)
    lines.push(['Unit', `${survey.accelerationUnit}, from the size of gravity in the data`]);
  lines.push(['Labels', labelsText()]);
  const reserved = fields.flatMap((field) => {
    const column = kind === 'rows' ? field : field.replace(/^_/, '');
    const isReserved = telemetryNames.has(column) && (kind === 'rows' || column !== field);
    const remedy = kind === 'rows' ? 'rename it, or devices cannot send it' : `it becomes the field ${field}`;
    return isReserved
      ? [`\n${yellow('!')} Telemetry messages reserve the name of the column ${column}: ${remedy}.`]
      : [];
  });
  const problems = survey.findings
    .filter(({ severity }) => severity !== 'info')
    .map(({ message, advice }) => `\n${yellow('!')} ${message} ${advice}`);
  return `${facts(lines)}${[...reserved, ...problems].join('')}`;

  function rateText(): string {
    return rateFrom === 'assumed' && time !== null
      ? 'assumed, because the time column states no rate; set it with --rate'
      : rateWords[rateFrom!];
  }

  function labelsText(): string {
    if (labelFrom === 'none') {
      const [column] = ignored;
      const hint = column === undefined ? '' : `, or from a column: --label-from column:${column}`;
      return `none: anomaly detection${hint}`;
    }
    const where = labelColumn === null ? `by ${labelFrom}` : `in the column ${labelColumn}`;
    if (measured) return `${where}: measurements`;
    const all = Object.entries(labels).map(([label, times]) => `${label} ${times}`);
    const more = all.length > 8 ? `, and ${all.length - 8} more` : '';
    const only = all.length === 1 ? '; with a single label, the project detects anomalies' : '';
    return `${where}: ${all.slice(0, 8).join(', ')}${more}${only}`;
  }
}

/** Remarks about assumptions that the user may have to correct; null if there are none. */
export function surveyRemark(survey: Survey, dir: string): string | null {
  const { kind, rateHz, rateFrom, time, path, labelGuessed, labelColumn } = survey;
  const again = `remove ${shownPath(dir)}, and repeat the command with`;
  // The recordings store the rate, too, so the project has to be created again.
  const remarks = [
    rateFrom === 'assumed' && `If the recordings were not made at ${rateHz} Hz, ${again} --rate.`,
    labelGuessed &&
      `The column ${labelColumn} is taken as the label, because it is the only one with words. For anomaly detection without labels, ${again} --label-from none.`,
    kind === 'rows' &&
      time !== null &&
      `The model predicts each row on its own. To classify stretches of time, put ${shownPath(path)} into a folder, ${again} --from FOLDER${labelColumn === null ? '' : ` --label-from column:${shellWord(labelColumn)}`}.`,
  ].filter((remark) => remark !== false);
  return remarks.length === 0 ? null : remarks.map((remark) => `\n${yellow('!')} ${remark}`).join('');
}

/** The next commands for a new project in this folder. */
export function commandsAfterInit({ runs, template, recordings }: InitResult, dir: string): string[] {
  const at = `--project ${shellWord(dir)}`;
  const there = dir === '.' ? '' : ` ${at}`;
  if (runs) return [`aiot up ${at}`];
  const train = `aiot model train${there}`;
  if (template === 'person-or-part' || template === 'count-parts')
    return [`aiot data synthesize${there}`, train];
  if (recordings === 0) return [train];
  return template === 'own'
    ? [`aiot data check${there}`, train]
    : [train, `aiot pipeline run${there} --until evaluate`];
}

/** A newly created project. */
export function initText(made: InitResult): string {
  const lines: [string, string][] = [
    ['Project', made.template === 'own' ? made.name : `${made.name} (${made.template})`],
    ['Folder', shownPath(made.dir)],
    ['Files', made.files.join(', ')],
  ];
  if (made.recordings > 0) {
    const labels = Object.entries(made.labels).map(([label, count]) => `${label} ${count}`);
    const of = labels.length > 0 ? `: ${labels.join(', ')}` : '';
    lines.push(['Recordings', `${made.recordings}, ${plural(made.samples, 'sample')}${of}`]);
  }
  if (made.signal !== null) {
    const { features, bandHz, window, shortened, topic } = made.signal;
    const band =
      bandHz === null ? '' : `, which resolve ${bandHz[0]} to ${Number(bandHz[1].toPrecision(4))} Hz`;
    lines.push(
      ['Features', `${features}${band}`],
      [
        'Window',
        `${plural(window, 'sample')}, ${Number((window / made.rateHz!).toPrecision(3))} s${shortened ? ` (not ${shortened.from}: ${shortened.reason})` : ''}`,
      ],
      ['Topic', topic],
    );
  }
  return facts(lines);
}

/** The demo's final table, the findings of its data check, the locations of its files, and the next commands. */
export function demoSummary(result: DemoResult): string {
  const { dataset, model, rollout, live, platform } = result;
  const scores = table(
    ['held-out recordings', 'accuracy', 'macro-F1', 'size'],
    [
      ['float32', percent(model.accuracy.float), model.macroF1.float.toFixed(3), size(model.bytes.float)],
      ['int8', percent(model.accuracy.int8), model.macroF1.int8.toFixed(3), size(model.bytes.int8)],
      ['int8, smoothed', null, model.macroF1.voted.toFixed(3), null],
      [`live, ${plural(rollout.devices, 'device')}`, percent(live.accuracy), live.macroF1.toFixed(3), null],
    ],
  );
  // A remark needs no action, so its advice is left out.
  const found = dataset.findings.map(({ severity, message, advice }) =>
    severity === 'info' ? `${dim('i')} ${message}` : `${yellow('!')} ${message}\n  ${dim(advice)}`,
  );
  const figures = facts([
    ['dataset', `${plural(dataset.recordings, 'recording')}, ${thousands(dataset.samples)} samples`],
    ['model', `${model.name}@${model.version}, arena ${size(model.arenaBytes)}`],
    ['rollout', `${rollout.committed} of ${rollout.devices} committed in ${rollout.seconds.toFixed(1)} s`],
    [
      'latency',
      `p50 ${live.latencyMs.p50.toFixed(2)} ms, p99 ${live.latencyMs.p99.toFixed(2)} ms for each window`,
    ],
    ['files', shownPath(result.folder)],
    ['report', shownPath(result.report)],
    ['dashboard', `${platform.http}/ (log in with the link that the first command below prints)`],
  ]);
  const done = `${bold('Done')} in ${elapsed(result.seconds * 1000)}${dim(`: all ${plural(rollout.devices, 'device')} run the model, and their predictions passed its accuracy gate. Everything that the demo started has been shut down.`)}`;
  const ports = `--http-port ${portOf(platform.http)} --mqtt-port ${portOf(platform.mqtts)}`;
  return [
    '',
    scores,
    '',
    bold('Confidence intervals'),
    facts(certainty(model)),
    '',
    figures,
    ...(found.length > 0 ? ['', bold(`Data check: ${findingCounts(dataset.findings)}`), ...found] : []),
    '',
    done,
    next(
      `aiot up --data ${shellWord(shownPath(platform.dir))} ${ports} --new-token --detach`,
      'aiot dashboard',
      'aiot init motor --template motor-watch',
    ),
  ].join('\n');
}

function certainty({
  accuracy,
  interval,
  heldOut,
  folds,
  originals,
}: DemoResult['model']): [string, string][] {
  const own = {
    ...({
      share: accuracy.int8,
      cases: heldOut.windows,
      unit: 'window',
      groups: heldOut.recordings,
    } as const),
    interval: [interval.low, interval.high] as const,
  };
  const lines: [string, string][] = [['held out', shareText(own)]];
  if (folds) lines.push(['by folds', foldedText(folds)]);
  if (originals) {
    const digests = `data ${originals.datasetDigest.slice(0, 19)}…, recipe ${originals.configDigest.slice(0, 19)}…`;
    const stored = `the uncut recordings are harder; this result is stored, not recomputed\n(${digests})`;
    lines.push(['originals', `${foldedText(originals)}\n${stored}`]);
  }
  return lines;
}

function foldedText({ folds, windows, recordings, accuracy, interval, macroF1, voted }: DemoFolds): string {
  const range = [interval.low, interval.high] as const;
  const of = { folds, windows, groups: recordings, accuracy, interval: range, macroF1, rmse: null };
  return foldsText({ ...of, voted: { macroF1: voted } }, 'window');
}

function portOf(url: string): string {
  return new URL(url).port;
}
