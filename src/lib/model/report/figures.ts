import { foldsText, percent, plural, shareText, size, thousands } from '../../core/figures.js';
import { findingCounts } from '../../data/check/report.js';
import { type Html, html, htmlTable } from '../../formats/html.js';
import { checkList, confusionTable, factList, lineChart, tileRow } from '../../formats/html-charts.js';
import { type EvaluationFile, type Gate, gateText } from '../evaluate/gates.js';
import type { CalibrationBin } from '../evaluate/result.js';
import type { ReportData } from './write-report.js';

const score = (value: number) => value.toFixed(3);

export function tiles({ evaluation, live, bytes, training }: ReportData): Html {
  const list: [string, string][] = [];
  if (evaluation) list.push(...evaluationTiles(evaluation));
  else {
    const best = training.history[training.bestEpoch - 1];
    if (best && best.valAccuracy !== null) list.push(['validation accuracy', percent(best.valAccuracy)]);
    const linear = training.choice?.kept === 'linear' ? null : (training.baseline?.valAccuracy ?? null);
    if (linear !== null) list.push(['validation accuracy of a linear model', percent(linear)]);
  }
  if (live) {
    list.push(['macro-F1, live on devices', score(live.macroF1)]);
    list.push(['latency on devices (p99)', `${live.latencyMs.p99.toFixed(2)} ms`]);
  }
  const precision = evaluation ? evaluation.precision : 'int8';
  list.push(
    bytes.int8 === null ? ['float model', size(bytes.float)] : [`${precision} model`, size(bytes.int8)],
  );
  if (evaluation && evaluation.arenaBytes !== null)
    list.push(['memory on a chip (arena)', size(evaluation.arenaBytes)]);
  return tileRow(list);
}

function evaluationTiles(evaluation: NonNullable<ReportData['evaluation']>): [string, string][] {
  const { int8, voted, float, vote, precision, auc, calibrationError, baseline } = evaluation;
  const list: [string, string][] = [];
  const add = (name: string, value: number | null | undefined) => {
    if (value !== null && value !== undefined) list.push([name, score(value)]);
  };
  add(`macro-F1, ${precision}, per window`, int8.macroF1);
  if (vote !== 'none') add(`macro-F1 after ${vote}`, voted?.macroF1);
  add('macro-F1, float', float.macroF1);
  add('accuracy of a linear model', baseline?.accuracy);
  add('AUC', auc);
  add('calibration error', calibrationError);
  add('mean absolute error', int8.mae);
  add('RMSE of a linear model', baseline?.rmse);
  add('R²', int8.r2);
  return list;
}

export function confusions({ evaluation, live, training }: ReportData): Html | null {
  if (!evaluation) return null;
  const { classes, source } = training;
  const unit = source.kind === 'table' ? 'rows' : 'windows';
  const { float, int8, voted, vote, precision } = evaluation;
  const tables: Html[] = [];
  const sure = html`<p class="lead">${certainty(evaluation)}</p>`;
  const add = (title: string, where: string, counts: number[][] | undefined) => {
    if (counts === undefined) return;
    const count = counts.flat().reduce((a, b) => a + b, 0);
    tables.push(confusionTable(title, `${thousands(count)} ${unit}${where}`, classes, counts));
  };
  add('Float', ', LiteRT', float.confusion);
  add(precision, ', as on a device', int8.confusion);
  if (vote !== 'none') add(`${precision} after ${vote}`, '', voted?.confusion);
  if (live) add('Live on devices', '', live.confusion);
  if (tables.length === 0) return null;
  const on = source.kind === 'table' ? 'rows' : 'recordings';
  return html`<h2>Confusion matrices, on ${on} not used for training</h2>${sure}<div class="pair">${tables}</div>`;
}

export function perClass({ evaluation }: ReportData): Html | null {
  if (!evaluation) return null;
  const { perClass: classes, precision, mae } = evaluation;
  if (mae !== null) return valueTable(evaluation);
  if (classes.length === 0) return null;
  return html`<h2>Metrics per class, ${precision}</h2>${classTable(classes, 'Windows')}
`;
}

/** @param unit counted unit: windows or rows */
export function classTable(classes: EvaluationFile['perClass'], unit: string): Html {
  const rows = classes.map(({ class: name, support, precision, recall, f1 }) => [
    ...[name, thousands(support), score(precision), score(recall), score(f1)],
  ]);
  return htmlTable(['Class', unit, 'Precision', 'Recall', 'F1'], rows);
}

function valueTable({
  float,
  int8,
  litert,
  interval,
  precision,
}: NonNullable<ReportData['evaluation']>): Html {
  const row = (name: string, { mae = 0, rmse = 0, r2 }: typeof float) => [
    name,
    mae.toPrecision(4),
    rmse.toPrecision(4),
    r2 === null || r2 === undefined ? '–' : score(r2),
  ];
  const rows = [
    row('float', float),
    row(`${precision}, device`, int8),
    ...(litert ? [row(`${precision}, LiteRT`, litert)] : []),
  ];
  const range = interval
    ? `95 % interval ${interval[0].toPrecision(4)} to ${interval[1].toPrecision(4)}.`
    : '';
  return html`<h2>Errors</h2>${htmlTable(['Model', 'Mean absolute error', 'RMSE', 'R²'], rows)}
<p class="lead" style="margin-top:12px">${range}</p>`;
}

type Certain = Pick<
  EvaluationFile,
  'n' | 'unit' | 'groups' | 'accuracy' | 'interval' | 'intervals' | 'agreement' | 'folds' | 'cost'
>;

/** How certain the metrics are, as sentences. */
export function certainty(of: Certain): string {
  const { n, unit, groups, accuracy, interval, intervals, agreement, folds, cost } = of;
  const parts: string[] = [];
  if (accuracy !== null)
    parts.push(`Accuracy: ${shareText({ share: accuracy, cases: n, unit, groups, interval })}.`);
  if (intervals.macroF1)
    parts.push(`Macro-F1, 95 %: ${score(intervals.macroF1[0])} to ${score(intervals.macroF1[1])}.`);
  if (cost) {
    const show = (value: number) => value.toPrecision(3);
    const between = cost.interval ? ` (95 %: ${cost.interval.map(show).join(' to ')})` : '';
    parts.push(
      `Mean cost per ${unit}: ${show(cost.mean)}${between}; without model.costs, it would be ${show(cost.likeliest)}.`,
    );
  }
  if (folds) parts.push(`Cross-validation: ${foldsText(folds, unit)}.`);
  if (agreement !== null)
    parts.push(
      `The device interpreter and LiteRT predict the same class for ${percent(agreement)} of ${unit}s.`,
    );
  return parts.join(' ');
}

export function calibration({ evaluation }: ReportData): Html | null {
  return evaluation && calibrationSection(evaluation);
}

export function calibrationSection({
  calibration: bins,
  calibrationError,
}: Pick<EvaluationFile, 'calibration' | 'calibrationError'>): Html | null {
  if (calibrationError === null) return null;
  const filled = bins.filter(({ rows }) => rows > 0);
  return html`<h2>Calibration</h2><div class="pair">${calibrationChart(bins)}<p>Share of correct predictions at each confidence. On the dashed line, confidence equals accuracy. The expected calibration error is ${score(calibrationError)}, over ${filled.length} of ${bins.length} bins that contain predictions.</p></div>`;
}

const chartHeight = 260;
const margin = { left: 46, right: 14, top: 12, bottom: 40 };
const plot = { width: 440 - margin.left - margin.right, height: chartHeight - margin.top - margin.bottom };

/** Share of correct predictions by confidence: one bar per bin, and the diagonal that represents perfect calibration. */
function calibrationChart(bins: readonly CalibrationBin[]): Html {
  const x = (share: number) => (margin.left + share * plot.width).toFixed(1);
  const y = (share: number) => (margin.top + (1 - share) * plot.height).toFixed(1);
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const grid = ticks.map(
    (share) =>
      html`<line class="grid" x1="${x(0)}" x2="${x(1)}" y1="${y(share)}" y2="${y(share)}"/><text class="tick" text-anchor="end" x="${margin.left - 8}" y="${Number(y(share)) + 4}">${Math.round(share * 100)} %</text><text class="tick" text-anchor="middle" x="${x(share)}" y="${chartHeight - margin.bottom + 18}">${Math.round(share * 100)} %</text>`,
  );
  const bars = bins
    .filter(({ rows }) => rows > 0)
    .map(({ low, high, rows, accuracy, confidence }) => {
      const title = `${rows} predictions, mean confidence ${(confidence * 100).toFixed(0)} %, ${(accuracy * 100).toFixed(0)} % correct`;
      const width = ((high - low) * plot.width - 3).toFixed(1);
      const height = Math.max(1, accuracy * plot.height).toFixed(1);
      return html`<rect class="bar" x="${x(low)}" y="${y(accuracy)}" width="${width}" height="${height}"><title>${title}</title></rect>`;
    });
  return html`<figure><figcaption>Accuracy by confidence<span class="keys"><span class="key mark">perfect calibration</span></span></figcaption><svg viewBox="0 0 440 ${chartHeight}" role="img" aria-label="Accuracy by confidence">${grid}${bars}<line class="mark" x1="${x(0)}" y1="${y(0)}" x2="${x(1)}" y2="${y(1)}"/><text class="tick" text-anchor="middle" x="${x(0.5)}" y="${chartHeight - 6}">confidence</text></svg></figure>`;
}

export function gates(list: readonly Gate[]): Html | null {
  if (list.length === 0) return null;
  return html`<h2>Gates</h2>${checkList(list.map((gate) => ({ passed: gate.passed, text: gateText(gate) })))}`;
}

export function curves({ training: { history, bestEpoch } }: ReportData): Html | null {
  if (history.length === 0) return null;
  const mark = { x: bestEpoch, text: `best epoch: ${bestEpoch}` };
  const of = (key: 'loss' | 'accuracy' | 'valLoss' | 'valAccuracy') =>
    history.flatMap((epoch) => epoch[key] ?? []);
  const lowest = Math.min(...of('accuracy'), ...of('valAccuracy'));
  const loss = lineChart({
    ...{ title: 'Loss', by: 'epoch', mark },
    series: [
      { name: 'training', values: of('loss') },
      { name: 'validation', values: of('valLoss') },
    ],
    format: (value) => String(Number(value.toPrecision(3))),
  });
  if (of('accuracy').length === 0) return html`<h2>Training</h2><div class="pair">${loss}</div>`;
  const accuracy = lineChart({
    ...{ title: 'Accuracy', by: 'epoch', mark },
    series: [
      { name: 'training', values: of('accuracy') },
      { name: 'validation', values: of('valAccuracy') },
    ],
    range: [lowest < 0.6 ? 0 : lowest < 0.8 ? 0.6 : 0.8, 1],
    format: (value) => `${Math.round(value * 100)} %`,
  });
  return html`<h2>Training</h2><div class="pair">${loss}${accuracy}</div>`;
}

export function findings({ findings: list, evaluation, training }: ReportData): Html | null {
  const badges = { error: 'bad', warning: 'warn', info: 'soft' } as const;
  const found = (list ?? []).map(
    ({ severity, message, advice }) =>
      html`<li><span class="badge ${badges[severity]}">${severity === 'info' ? 'remark' : severity}</span><span>${message}<span class="advice">${advice}</span></span></li>`,
  );
  const limits = limitList([...training.notes, ...(evaluation?.warnings ?? [])]);
  if (found.length === 0 && limits === null) return null;
  return html`${found.length > 0 ? html`<h2>Data check: ${findingCounts(list ?? [])}</h2><ul class="plain">${found}</ul>` : null}${limits}`;
}

/** The metrics' limitations, as sentences. */
export function limitList(sentences: readonly string[]): Html | null {
  if (sentences.length === 0) return null;
  const items = sentences.map(
    (text) => html`<li><span class="badge warn">note</span><span>${text}</span></li>`,
  );
  return html`<h2>Limitations</h2><ul class="plain">${items}</ul>`;
}

function outputText(output: ReportData['training']['network']['output']): string {
  return output.kind === 'classes' ? `${output.count} classes` : `a ${output.kind}`;
}

export function lineage({ training, settings }: ReportData): Html {
  const { split, lineage: from, signal, network, windows, source, labels } = training;
  const features = Array.isArray(signal.features) ? `${signal.features.length} features` : signal.features;
  const lowpass = signal.lowpassHz === null ? '' : `low-pass ${signal.lowpassHz} Hz → `;
  const table = source.kind === 'table';
  const classes = Object.entries(labels).map(([name, own]) =>
    own.length === 1 && own[0] === name ? name : `${name} (${own.join(', ')})`,
  );
  const facts: [string, string | Html][] = [
    table
      ? ['Rows', `${thousands(from.dataset.samples)} with ${source.columns.length} columns`]
      : [
          'Recordings',
          `${from.dataset.recordings}, ${thousands(from.dataset.samples)} samples; fields ${signal.fields.join(', ')}`,
        ],
    ['Dataset', html`<code>${from.dataset.digest}</code>`],
    [
      'Split',
      `by ${split.by}, seed ${split.seed}: ${split.train.length} train, ${split.validation.length} validation, ${split.test.length} test; ${thousands(windows.train)} and ${thousands(windows.validation)} ${table ? 'rows' : 'windows'}`,
    ],
    ...(table ? [] : ([['Test recordings', split.test.join(', ')]] as [string, string][])),
    ...(classes.length > 0 ? ([['Classes', classes.join(', ')]] as [string, string][]) : []),
    ...(table
      ? []
      : ([
          [
            'Signal',
            `${signal.rateHz} Hz → ${lowpass}${signal.resampleHz} Hz → ${signal.windowSamples} samples every ${signal.strideSamples} → ${features}`,
          ],
        ] as [string, string][])),
    [
      'Model',
      `${training.choice?.kept === 'linear' ? 'linear model, one dense layer' : `${network.kind}, ${plural(network.layers.length, 'layer')}`}, output ${outputText(network.output)}; ${training.history.length} epochs in ${training.seconds.toFixed(1)} s on ${training.backend}${training.interrupted ? '; stopped early' : ''}`,
    ],
    ...(settings
      ? ([
          [
            'Training',
            `${settings.epochs} epochs, batches of ${settings.batch}, learning rate ${settings.learningRate}, seed ${settings.seed}`,
          ],
        ] as [string, string][])
      : []),
    ['Settings', html`<code>${from.configDigest}</code>`],
  ];
  return html`<h2>Origin</h2>${factList(facts)}`;
}
