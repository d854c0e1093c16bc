import { foldsText, gateValues, percent, plural, shareText, size, thousands } from '../../core/figures.js';
import type { FeaturesResult } from '../../data/features/make.js';
import type { Gate } from '../../model/evaluate/gates.js';
import type { EvaluateResult, FileEvaluation, Rejection, SensorDrop } from '../../model/evaluate/result.js';
import type { Comparison } from '../../model/inspect/comparison.js';
import type { Explanation } from '../../model/inspect/explanation.js';
import { bar, bold, dim, facts, green, red, shownPath, table, yellow } from './text.js';

/**
 * Metrics, classes, confusion matrix, worst windows and gates of a project's evaluation.
 * @param at flags that suggested commands need, such as ` --project fan`
 */
export function evaluationText(result: EvaluateResult, at = ''): string {
  const parts = [`${bold(result.model)}\n${scoreTable(result)}`];
  const unit = result.output === 'objects' ? 'objects' : `${result.unit}s`;
  if (result.perClass.length > 0) parts.push(classTable(result, unit));
  parts.push(facts([...certainty(result, at), ...gateFacts(result.gates)]));
  if (result.rejection) parts.push(rejectionText(result.rejection, result.unit));
  if (result.stream && result.stream.points.length > 0) parts.push(pointsTable(result.stream));
  if (result.sensorDrop) parts.push(dropTable(result.sensorDrop, result));
  if (result.worst.length > 0) parts.push(worstTable(result));
  if (result.warnings.length > 0)
    parts.push(result.warnings.map((text) => `${yellow('!')} ${text}`).join('\n'));
  return parts.join('\n\n');
}

function scoreTable({ n, unit, float, int8, litert, voted, precision, output }: EvaluateResult): string {
  const isValue = output === 'value';
  const columns = isValue
    ? (['mae', 'rmse', 'r2'] as const)
    : output === 'objects'
      ? (['macroF1', 'accuracy', 'mae'] as const)
      : (['accuracy', 'macroF1', 'auc', 'calibrationError'] as const);
  const finds = output === 'objects';
  const titles = {
    accuracy: finds ? 'all correct' : 'accuracy',
    macroF1: finds ? 'F1 of objects' : 'macro-F1',
    auc: 'AUC',
    calibrationError: 'calibration error',
    mae: finds ? 'count error' : 'mean abs. error',
    rmse: 'RMSE',
    r2: 'R²',
  };
  const all = [float, int8, ...(litert ? [litert] : [])];
  const told = columns.filter((column) => all.some((figures) => typeof figures[column] === 'number'));
  const row = (name: string, figures: EvaluateResult['int8']) => [
    name,
    ...told.map((column) => {
      const value = figures[column];
      if (value === null || value === undefined) return null;
      if (column === 'accuracy') return percent(value);
      return column === 'mae' || column === 'rmse' ? value.toPrecision(4) : value.toFixed(3);
    }),
  ];
  const rows = [
    row('float', float),
    row(`${precision} (device)`, int8),
    ...(litert ? [row(`${precision} (LiteRT)`, litert)] : []),
    ...(voted ? [row(`${precision}, smoothed`, voted)] : []),
  ];
  return table(
    [plural(n, `held-out ${finds ? 'picture' : unit}`), ...told.map((column) => titles[column])],
    rows,
  );
}

function certainty(result: EvaluateResult, at: string): [string, string][] {
  const { output, threshold } = result;
  const { n, unit, groups, accuracy, interval, intervals, folds, agreement, arenaBytes, bytes } = result;
  const lines: [string, string][] = [];
  const between = (of: [number, number], show: (value: number) => string) =>
    `${show(of[0])} to ${show(of[1])}`;
  if (accuracy !== null)
    lines.push([
      output === 'objects' ? 'Pictures without error' : 'Accuracy',
      shareText({
        share: accuracy,
        cases: n,
        unit: output === 'objects' ? 'picture' : unit,
        groups,
        interval,
      }),
    ]);
  else if (interval)
    lines.push([
      '95 % interval',
      `${between(interval, (value) => value.toPrecision(4))} (mean absolute error)`,
    ]);
  if (result.cost) {
    const { mean, interval: spread, likeliest } = result.cost;
    const show = (value: number) => value.toPrecision(3);
    lines.push([
      'Mean cost',
      `${show(mean)} per ${unit}${spread ? ` (95 %: ${between(spread, show)})` : ''}; ${show(likeliest)} without model.costs`,
    ]);
  }
  const { accuracy: linear = null, rmse = null } = result.baseline ?? {};
  if (linear !== null) lines.push(['Linear model', `${percent(linear)} of the same ${unit}s`]);
  if (rmse !== null) lines.push(['Linear model', `RMSE ${rmse.toPrecision(4)} on the same ${unit}s`]);
  const { macroF1 } = intervals;
  if (macroF1) lines.push(['Macro-F1', `95 %: ${between(macroF1, (value) => value.toFixed(3))}`]);
  if (output === 'objects') {
    lines.push(['Threshold', `a cell counts at a share of ${threshold?.toPrecision(2)} or more`]);
  } else
    lines.push([
      'By folds',
      folds ? foldsText(folds, unit) : `not measured for these settings; run aiot model train${at} --folds 5`,
    ]);
  if (result.stream) lines.push(streamLine(result.stream));
  if (agreement !== null)
    lines.push([
      'Agreement',
      `${percent(agreement)} of ${unit}s: device interpreter and LiteRT predict the same class`,
    ]);
  lines.push(['Size', size(bytes)]);
  if (arenaBytes !== null) lines.push(['Arena', size(arenaBytes)]);
  return lines;
}

/** Metrics with each field missing in turn, below the metrics with all fields. */
function dropTable(drops: SensorDrop[], whole: EvaluateResult): string {
  const isValue = whole.output === 'value';
  const cells = ({
    accuracy,
    macroF1,
    mae,
    rmse,
  }: Pick<SensorDrop, 'accuracy' | 'macroF1' | 'mae' | 'rmse'>) =>
    isValue
      ? [mae?.toPrecision(4) ?? null, rmse?.toPrecision(4) ?? null]
      : [accuracy === null ? null : percent(accuracy), macroF1?.toFixed(3) ?? null];
  const rejects = drops.some(({ rejected }) => rejected !== null);
  const rejectedCell = (share: number | null | undefined) =>
    rejects ? [share === null || share === undefined ? null : percent(share)] : [];
  return table(
    [
      'missing field',
      ...(isValue ? ['mean abs. error', 'RMSE'] : ['accuracy', 'macro-F1']),
      ...(rejects ? ['rejected'] : []),
    ],
    [
      ['none', ...cells(whole), ...rejectedCell(whole.rejection?.known.rejected)],
      ...drops.map((drop) => [drop.field, ...cells(drop), ...rejectedCell(drop.rejected)]),
    ],
  );
}

/** How often known and unknown windows are rejected. */
function rejectionText({ label, known, unknown, perClass }: Rejection, unit: string): string {
  const shareOf = (of: { windows: number; rejected: number | null; interval: [number, number] | null }) =>
    of.rejected === null
      ? 'not measured'
      : `${percent(of.rejected)} of ${plural(of.windows, unit)}${of.interval ? ` (95 %: ${percent(of.interval[0])} to ${percent(of.interval[1])})` : ''}`;
  const lines: [string, string][] = [['Known rejected', shareOf(known)]];
  if (known.accuracy !== null) lines.push(['Accuracy of the rest', percent(known.accuracy)]);
  lines.push([
    'Unknown rejected',
    unknown
      ? `${shareOf(unknown)} of ${plural(unknown.recordings, 'recording')}`
      : 'not measured; list labels of other recordings in model.reject.unknown',
  ]);
  if (unknown && unknown.auc !== null) lines.push(['AUC, known against unknown', unknown.auc.toFixed(4)]);
  const rows = perClass.map((own) => [
    own.class,
    own.minimum.toPrecision(3),
    own.radius?.toPrecision(3) ?? null,
    own.rejected === null ? null : percent(own.rejected),
  ]);
  const thresholds = table(
    [`rejected as ${label}`, 'output below', 'distance above', `of its ${unit}s`],
    rows,
  );
  return `${facts(lines)}\n\n${thresholds}`;
}

function streamLine({ noise, others, ...all }: NonNullable<EvaluateResult['stream']>): [string, string] {
  const { minutes, vote, events, detected, confused } = all;
  const alarms = Object.entries({ noise, 'other sound': others }).flatMap(([where, own]) =>
    own
      ? `${own.falseAlarms} in ${own.wordlessMinutes.toFixed(1)} min of ${where} without words (${own.falseAlarmsPerHour?.toFixed(1) ?? 'unknown'} per hour)`
      : [],
  );
  // A word can be in both counts, and several times in the second: its own class is detected, and others before or after it.
  const words = `${detected} of ${plural(events, 'word')} detected`;
  const wrong = `${plural(confused, 'detection')} of a different word during a word, also during detected ones`;
  return ['Stream', `${minutes} min with ${vote}: ${words}. ${wrong}. False alarms: ${alarms.join(', ')}`];
}

/** Missed words and false alarms for other targets and other smoothing, on the same stream. */
function pointsTable({ points }: NonNullable<EvaluateResult['stream']>): string {
  const votes = [...new Set(points.map(({ vote }) => vote))];
  const pointsOf = (target: number) => points.filter((point) => point.target === target);
  const cell = ({ missed, others, noise }: (typeof points)[number]) =>
    `${percent(missed)}, ${(others ?? noise ?? 0).toFixed(1)}`;
  const rows = [...new Set(points.map(({ target }) => target))].map((target) => [
    String(target),
    ...pointsOf(target).map(cell),
  ]);
  return `${table(['falseAlarms', ...votes], rows)}\n${dim('missed words, and measured false alarms per hour of other sound, for these values of model.reject.falseAlarms and model.vote')}`;
}

function worstTable({ worst, output }: EvaluateResult): string {
  const isPlaced = worst.some(({ window }) => window !== null);
  const score = { value: 'error', objects: 'count error' }[output as string] ?? 'score of the true class';
  return table(
    ['worst', ...(isPlaced ? ['window'] : []), 'truth', 'prediction', score],
    worst
      .slice(0, 5)
      .map(({ recording, window, truth, predicted, score }) => [
        recording,
        ...(isPlaced ? [window] : []),
        truth,
        predicted,
        score.toPrecision(3),
      ]),
  );
}

/** Metrics of a model file on the rows of a table. */
export function fileEvaluationText(result: FileEvaluation): string {
  const runtimes = { litert: 'LiteRT', device: 'the device interpreter', 'ai-edge-litert': 'ai-edge-litert' };
  const where = runtimes[result.runtime];
  const lead: [string, string][] = [
    ['Network', `${result.precision}, ${size(result.bytes)}, predicts ${kinds[result.output]}`],
    [
      'Rows',
      `${thousands(result.n)} of ${result.data}, on ${where}${result.standardized ? ', standardized with the mean and deviation in the file' : ''}`,
    ],
    ...figureLines(result),
    ...gateFacts(result.gates),
    ...(result.outputs === null ? [] : [['Outputs', result.outputs] as [string, string]]),
  ];
  const parts = [`${bold(shownPath(result.file))}\n${facts(lead)}`];
  if (result.perClass.length > 0) parts.push(classTable(result, 'rows'));
  if (result.worst.length > 0) parts.push(worstRowsTable(result));
  if (result.warnings.length > 0)
    parts.push(result.warnings.map((text) => `${yellow('!')} ${text}`).join('\n'));
  return parts.join('\n\n');
}

const kinds = {
  classes: 'classes',
  probability: 'a probability',
  value: 'a value',
  reconstruction: 'a reconstruction',
  objects: 'objects',
} as const;

function figureLines(result: FileEvaluation): [string, string][] {
  const { n, groups, accuracy, macroF1, auc, interval, intervals, calibrationError, mae, rmse, r2 } = result;
  const between = (of: [number, number] | null, show: (value: number) => string) =>
    of === null ? '' : `, 95 % interval ${show(of[0])} to ${show(of[1])}`;
  const score = (value: number) => value.toFixed(3);
  const lines: [string, string][] = [];
  if (accuracy !== null)
    lines.push(['Accuracy', shareText({ share: accuracy, cases: n, unit: 'row', groups, interval })]);
  if (macroF1 !== null) lines.push(['Macro-F1', score(macroF1) + between(intervals.macroF1, score)]);
  if (auc !== null) lines.push(['AUC', score(auc) + between(intervals.auc, score)]);
  if (calibrationError !== null)
    lines.push(['Calibration', `${score(calibrationError)} expected calibration error`]);
  if (mae !== null && rmse !== null) {
    const short = (value: number) => value.toPrecision(4);
    lines.push(['Mean error', short(mae) + between(interval, short)], ['RMSE', short(rmse)]);
  }
  if (r2 !== null) lines.push(['R²', score(r2)]);
  return lines;
}

function worstRowsTable({ worst, output }: FileEvaluation): string {
  const score = output === 'value' ? 'error' : 'score of the true class';
  return table(
    ['worst row', 'truth', 'prediction', score],
    worst.slice(0, 5).map((row) => [row.row, row.truth, row.predicted, row.score.toPrecision(3)]),
  );
}

interface Judged {
  classes: string[];
  perClass: { class: string; support: number; precision: number; recall: number; f1: number }[];
  /** Number of examples by [true class][predicted class]. */
  confusion: number[][];
}

/** A table of the classes with their metrics, and the classes for which each was mistaken. */
function classTable({ perClass, classes, confusion }: Judged, unit: string): string {
  return table(
    [
      'class',
      unit,
      'precision',
      'recall',
      'F1',
      ...(confusion.length > 0 ? classes.map((name) => `→ ${name}`) : []),
    ],
    perClass.map(({ class: name, support, precision, recall, f1 }, c) => [
      name,
      support,
      // Without an example, these metrics are not 0, but unknown.
      ...[precision, recall, f1].map((value) => (support === 0 ? null : value.toFixed(3))),
      ...(confusion[c] ?? []),
    ]),
  );
}

/** Metrics for which lower is better. Repeated here, because loading the model module would slow down every start. */
const atMost: readonly Gate['name'][] = ['mae', 'rmse', 'calibrationError', 'drop', 'arena', 'macs', 'bytes'];

/** One line per gate: whether it passed, the measured value, and the limit. */
function gateFacts(gates: readonly Gate[]): [string, string][] {
  return gates.map((gate) => {
    const { got, limit } = gateValues(gate);
    const most = atMost.includes(gate.name) ? 'at most' : 'at least';
    const mark = gate.passed ? green('✓') : red('✗');
    return [`Gate ${gate.name}`, `${mark} ${got ?? 'not measured'}, ${most} ${limit}`];
  });
}

const mostRows = 20;
const shades = ' ░▒▓█';

/** Features by importance, and the most important ones for each class. */
export function explanationText(result: Explanation): string {
  const metric = { macroF1: 'macro-F1', auc: 'AUC', mae: 'mean absolute error' }[result.metric];
  const { importance, n, base, seed } = result;
  const head = `${bold(result.model)}\n${metric} ${base.toFixed(4)} on ${n} examples; loss when a feature is shuffled (seed ${seed})`;
  const largest = Math.max(...importance.map(({ loss }) => loss), 1e-9);
  const rows = importance
    .slice(0, mostRows)
    .map(({ feature, inputs, loss, deviation }) => [
      feature,
      inputs,
      `${loss.toFixed(4)} ± ${deviation.toFixed(4)}`,
      bar(loss / largest, 20).replaceAll('░', ' '),
    ]);
  const rest = importance.length - mostRows;
  const more = rest > 0 ? `\n${dim(`… and ${rest} more (use --json for all)`)}` : '';
  return `${head}\n\n${table(['feature', 'inputs', 'loss', ''], rows)}${more}\n\n${saliencyText(result)}`;
}

function saliencyText({ saliency: { over, fields, parts, classes } }: Explanation): string {
  if (over === 'features') return classes.map((one) => strongest(one, parts)).join('\n');
  const blocks = classes.map(({ class: name, n, values }) => {
    const largest = Math.max(...values.flat().map(Math.abs), 1e-9);
    const widest = Math.max(...fields.map((field) => field.length));
    const lines = fields.map((field, f) => {
      const cells = (values[f] ?? []).map((value) => {
        const shade = Math.round((Math.max(0, value) / largest) * (shades.length - 1));
        return (shades[shade] ?? ' ').repeat(2);
      });
      return `  ${field.padEnd(widest)}  ${cells.join('')}`;
    });
    return [`${bold(name)} ${dim(`(${n} examples, ${parts[0]} to ${parts.at(-1)})`)}`, ...lines].join('\n');
  });
  return [dim('Saliency of each class over the window (darker = larger loss when masked):'), ...blocks].join(
    '\n',
  );
}

function strongest(
  { class: name, values }: Explanation['saliency']['classes'][number],
  parts: string[],
): string {
  const [row = []] = values;
  const order = row.map((value, p) => ({ value, part: parts[p] ?? '' })).sort((a, b) => b.value - a.value);
  const named = order
    .slice(0, 4)
    // Smaller values would be printed as 0.000.
    .filter(({ value }) => value >= 0.0005)
    .map(({ part, value }) => `${part} ${value.toFixed(3)}`);
  return named.length > 0
    ? `${bold(name)} depends most on ${named.join(', ')}`
    : `${bold(name)} depends on no single feature`;
}

/** Compares two models, and lists where they disagree. */
export function comparisonText(result: Comparison): string {
  const { a, b, data, n, paired, disagreement, notes, largestDifference } = result;
  const parts = [`${bold('A')}  ${shownPath(a.file)}\n${bold('B')}  ${shownPath(b.file)}`, sides(result)];
  const lines: [string, string][] = [];
  if (data !== null) lines.push(['Rows', `${thousands(n)} of ${data}`]);
  if (paired)
    lines.push(
      [
        'Accuracy, B − A',
        `${points(paired.difference)}, 95 % interval ${points(paired.interval[0])} to ${points(paired.interval[1])}`,
      ],
      [
        'Correct only in',
        `A: ${plural(paired.onlyARight, 'row')}, B: ${paired.onlyBRight} (exact McNemar test: p = ${paired.p.toPrecision(2)})`,
      ],
    );
  if (disagreement)
    lines.push(['Disagreement', `${plural(disagreement.rows, 'row')}, ${percent(disagreement.share, 2)}`]);
  if (largestDifference !== null)
    lines.push(['Outputs', `differ by at most ${largestDifference.toPrecision(3)}`]);
  if (lines.length > 0) parts.push(facts(lines));
  if (disagreement && disagreement.table.length > 0)
    parts.push(
      table(
        ['truth', 'A predicts', 'B predicts', 'rows'],
        disagreement.table.slice(0, 12).map((row) => [row.truth, row.a, row.b, row.rows]),
      ),
    );
  if (notes.length > 0) parts.push(notes.map((note) => dim(`· ${note}`)).join('\n'));
  return parts.join('\n\n');
}

function sides({ a, b }: Comparison): string {
  const row = (name: string, show: (side: Comparison['a']) => string | null) => [name, show(a), show(b)];
  const figure = (name: string, key: 'macroF1' | 'auc' | 'calibrationError' | 'mae' | 'rmse' | 'r2') => {
    const of = (side: Comparison['a']) => side.figures?.[key] ?? null;
    if (of(a) === null && of(b) === null) return [];
    return [row(name, (side) => of(side)?.toPrecision(4) ?? null)];
  };
  const accuracy = (side: Comparison['a']) => side.figures?.accuracy ?? null;
  return table(
    ['', 'A', 'B'],
    [
      row('numbers', ({ precision }) => precision),
      row('size', ({ bytes }) => size(bytes)),
      row('arena', ({ arenaBytes }) => (arenaBytes === null ? null : size(arenaBytes))),
      row('multiply-adds', ({ macs }) => thousands(macs)),
      row('parameters', ({ parameters }) => thousands(parameters)),
      row('operators', ({ operators }) => String(Object.values(operators).reduce((x, y) => x + y, 0))),
      ...(accuracy(a) === null ? [] : [row('accuracy', (side) => percent(accuracy(side) ?? 0, 2))]),
      ...figure('macro-F1', 'macroF1'),
      ...figure('AUC', 'auc'),
      ...figure('calibration error', 'calibrationError'),
      ...figure('mean absolute error', 'mae'),
      ...figure('RMSE', 'rmse'),
      ...figure('R²', 'r2'),
    ],
  );
}

function points(share: number): string {
  return `${share > 0 ? '+' : ''}${(100 * share).toFixed(2)} points`;
}

/** The most informative features, and the meaning of the metrics. */
export function rankingText({ ranking, recordings }: FeaturesResult, most = 30): string {
  if (!ranking) return '';
  const { features, accuracy, folds, labels } = ranking;
  const rows = features
    .slice(0, most)
    .map(({ name, information, f, importance }, i) => [
      i + 1,
      name,
      information.toFixed(3),
      f >= 1e6 ? '> 1e6' : f.toFixed(1),
      `${(importance * 100).toFixed(1)} pt`,
    ]);
  const more = features.length > most ? [dim(`and ${features.length - most} more; use --json for all`)] : [];
  return [
    `A linear probe classifies ${labels.join(', ')} correctly in ${percent(accuracy)} of the windows of held-out recordings (${recordings} recordings, ${folds} folds).`,
    '',
    table(['', 'feature', 'bits', 'F', 'loss'], rows),
    ...more,
    dim('bits: mutual information with the label · F: one-way ANOVA over the means of recordings'),
    dim('loss: accuracy lost on held-out recordings when the feature is shuffled'),
  ].join('\n');
}
