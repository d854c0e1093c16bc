import { foldsText, percent, shareText, size, thousands } from '../../core/index.js';
import { confusionTable, type Html, html, htmlTable, tileRow } from '../../formats/index.js';
import type { EvaluationFile } from '../evaluate/types.js';
import { calibrationChart } from './calibration-chart.js';
import type { ReportData } from './gather.js';

const score = (value: number) => value.toFixed(3);

export function tiles({ evaluation, live, bytes, training }: ReportData): Html {
  const list: [string, string][] = [];
  if (evaluation) list.push(...evaluationTiles(evaluation));
  else {
    const best = training.history[training.bestEpoch - 1];
    if (best && best.valAccuracy !== null) list.push(['validation accuracy', percent(best.valAccuracy)]);
    const linear = training.choice?.kept === 'linear' ? null : (training.baseline?.valAccuracy ?? null);
    if (linear !== null) list.push(['a linear model, on the same', percent(linear)]);
  }
  if (live) {
    list.push(['macro-F1, live on devices', score(live.macroF1)]);
    list.push(['latency p99 on a device', `${live.latencyMs.p99.toFixed(2)} ms`]);
  }
  const network = evaluation ? evaluation.precision : 'int8';
  list.push(
    bytes.int8 === null ? ['float network', size(bytes.float)] : [`${network} network`, size(bytes.int8)],
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
  add(`macro-F1, ${precision} by window`, int8.macroF1);
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
  return html`<h2>Confusion, on ${on} never trained on</h2>${sure}<div class="pair">${tables}</div>`;
}

export function perClass({ evaluation }: ReportData): Html | null {
  if (!evaluation) return null;
  const { perClass: classes, precision, mae } = evaluation;
  if (mae !== null) return valueTable(evaluation);
  if (classes.length === 0) return null;
  return html`<h2>By class, ${precision}</h2>${classTable(classes, 'Windows')}
`;
}

/** @param unit what was counted: windows or rows */
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
    row('float, LiteRT', float),
    row(`${precision}, device`, int8),
    row(`${precision}, LiteRT`, litert),
  ];
  const range = interval
    ? `95 % interval ${interval[0].toPrecision(4)} to ${interval[1].toPrecision(4)}.`
    : '';
  return html`<h2>Errors</h2>${htmlTable(['Network', 'Mean absolute error', 'RMSE', 'R²'], rows)}
<p class="lead" style="margin-top:12px">${range}</p>`;
}

type Certain = Pick<
  EvaluationFile,
  'n' | 'unit' | 'groups' | 'accuracy' | 'interval' | 'intervals' | 'agreement' | 'folds'
>;

/** How certain the figures are, in sentences. */
export function certainty(of: Certain): string {
  const { n, unit, groups, accuracy, interval, intervals, agreement, folds } = of;
  const parts: string[] = [];
  if (accuracy !== null)
    parts.push(`Accuracy: ${shareText({ share: accuracy, cases: n, unit, groups, interval })}.`);
  if (intervals.macroF1)
    parts.push(`Macro-F1, 95 %: ${score(intervals.macroF1[0])} to ${score(intervals.macroF1[1])}.`);
  if (folds) parts.push(`By folds: ${foldsText(folds, unit)}.`);
  if (agreement !== null)
    parts.push(`The device interpreter and LiteRT name the same class in ${percent(agreement)} of ${unit}s.`);
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
  return html`<h2>Calibration</h2><div class="pair">${calibrationChart(bins)}<p>How often the network is right when it is so sure of its answer. On the dashed line it is right as often as it says. Expected calibration error ${score(calibrationError)}, over ${filled.length} of ${bins.length} bins with answers in them.</p></div>`;
}
