import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { unless } from '../../core/errors.js';
import { foldsText, percent, thousands } from '../../core/figures.js';
import { refuseInputs, writeFileAtomic } from '../../core/files.js';
import type { Project } from '../../core/project.js';
import type { ProjectConfig } from '../../core/project-schema.js';
import type { Finding } from '../../data/types.js';
import { type Html, html, htmlTable, reportPage } from '../../formats/html.js';
import { barChart, confusionTable, legend, type Paint } from '../../formats/html-charts.js';
import type { EvaluationFile } from '../evaluate/gates.js';
import type { WorstWindow } from '../evaluate/result.js';
import { buildFiles, readEvaluation, readFolds, readQuantization, readTraining } from '../files.js';
import { type Explanation, readExplanation } from '../inspect/explanation.js';
import { compareTrainingRuns, type RunsComparison } from '../runs/compare.js';
import type { FoldsFile } from '../train/result.js';
import type { TrainingFile } from '../train/types.js';
import { calibration, confusions, curves, findings, gates, lineage, perClass, tiles } from './figures.js';
import { runsSection } from './runs-page.js';

/**
 * Writes all available information about a project's model as one self-contained HTML file: metrics, gates, training curves, folds,
 * confusion, classes, calibration, the worst windows, explanation, findings, lineage. Anything not measured yet is omitted.
 * @throws AIOT_MODEL_NOT_BUILT, AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE
 */
export async function writeReport(options: ReportOptions): Promise<void> {
  await refuseInputs([options.file], [options.project.file]);
  await writeFileAtomic(options.file, projectPage(await gatherReport(options)));
}

function projectPage(data: ReportData): string {
  const { training, evaluation, folds } = data;
  const title = [training.model, ...(training.classes.length > 0 ? [training.classes.join(', ')] : [])].join(
    ': ',
  );
  const made = new Date(training.lineage.created).toISOString().slice(0, 16).replace('T', ' ');
  const { dataset } = training.lineage;
  const table = training.source.kind === 'table';
  const on = table ? `${thousands(dataset.samples)} rows` : `${dataset.recordings} recordings`;
  const what = table ? 'rows' : `${training.split.test.length} recordings`;
  const held = evaluation
    ? ` Metrics are measured on ${what} that were not used for training.`
    : ` It has not been evaluated on held-out ${table ? 'rows' : 'recordings'} yet.`;
  return reportPage({
    title,
    lead: `Trained on ${on}, ${made} UTC.${held}`,
    // Shown first, because it means that the metrics below are optimistic.
    first: training.leaks.map((text) => html`<p class="bad"><b>Leaking split:</b> ${text}</p>`),
    sections: [
      tiles(data),
      gates(evaluation?.gates ?? []),
      curves(data),
      foldSection(folds, table ? 'row' : 'window'),
      confusions(data),
      perClass(data),
      calibration(data),
      worst(data),
      explanation(data),
      data.runs && runsSection(data.runs, data.run ?? null),
      findings(data),
      lineage(data),
    ],
    aiot: training.lineage.aiot,
  });
}

/** All data for a report. Parts that are missing, or belong to an older training run, are omitted. */
export interface ReportData extends Omit<ReportOptions, 'file' | 'project'> {
  training: TrainingFile;
  evaluation: EvaluationFile | null;
  explanation: Explanation | null;
  bytes: { float: number; int8: number | null };
  /** The project's runs on the same data; null if there are fewer than two. */
  runs: RunsComparison | null;
}

/** @throws AIOT_MODEL_NOT_BUILT if no model has been trained */
async function gatherReport({ project, file: _, ...told }: ReportOptions): Promise<ReportData> {
  const training = await readTraining(project);
  const files = buildFiles(project);
  const quantization = await unless('AIOT_MODEL_NOT_BUILT', readQuantization(project));
  const fresh = quantization?.floatDigest === training.digest ? quantization : null;
  const evaluation = fresh ? await unless('AIOT_MODEL_NOT_BUILT', readEvaluation(project)) : undefined;
  const explanation = await readExplanation(project);
  const folds = told.folds ?? (await readFolds(project, training));
  return {
    training,
    evaluation: evaluation && evaluation.digest === fresh?.digest ? evaluation : null,
    explanation: explanation && explanation.digest === fresh?.digest ? explanation : null,
    bytes: {
      float: (await stat(files.float)).size,
      int8: fresh ? (await stat(join(files.folder, fresh.file))).size : null,
    },
    ...told,
    folds,
    runs: await comparableRuns(project),
  };
}

/**
 * The runs on the current data; null if there are fewer than two. A damaged record must not prevent the report; `model runs list` reports
 * such records.
 */
async function comparableRuns(project: Project): Promise<RunsComparison | null> {
  const runs = await unless(
    'AIOT_FILE_MALFORMED',
    unless('AIOT_NOT_FOUND', compareTrainingRuns(project.dir, [])),
  );
  return runs ?? null;
}

/** Cross-validation results, measured before this model was trained on all parts. */
function foldSection(folds: FoldsFile | null | undefined, unit: 'window' | 'row'): Html | null {
  if (!folds) return null;
  const { pooled, together, confusion, classes, by, method } = folds;
  const share = (value: number | null) => (value === null ? '–' : percent(value));
  const score = (value: number | null) => (value === null ? '–' : value.toFixed(3));
  const values = pooled.rmse !== null;
  const rows = folds.folds.map(({ groups, examples, bestEpoch, accuracy, macroF1, rmse }) => [
    groups.slice(0, 3).join(', ') + (groups.length > 3 ? ` and ${groups.length - 3} more` : ''),
    ...[thousands(examples), String(bestEpoch)],
    ...(values ? [rmse === null ? '–' : rmse.toPrecision(4)] : [share(accuracy), score(macroF1)]),
  ]);
  const counted = confusion?.flat().reduce((sum, count) => sum + count, 0) ?? 0;
  return html`<h2>Cross-validation</h2>${htmlTable(
    [`Held-out fold (by ${by})`, 'Examples', 'Best epoch', ...(values ? ['RMSE'] : ['Accuracy', 'Macro-F1'])],
    rows,
  )}<p class="lead" style="margin-top:12px">All folds: ${foldsText(together, unit)}. Intervals: ${method}.</p>${confusion ? confusionTable('All folds', `${thousands(counted)} examples, float`, classes, confusion) : null}`;
}

const width = 440;
const height = 170;
const margin = { left: 46, right: 14, top: 10, bottom: 28 };

/** Maximum number of curves, because the style defines this many colors. */
const colours = 6;

/** The worst predictions: drawings of windows, or a list of table rows. */
function worst({ evaluation }: ReportData): Html | null {
  if (!evaluation || evaluation.worst.length === 0) return null;
  const drawn = evaluation.worst.filter(({ samples }) => samples !== null);
  const isValue = evaluation.output === 'value';
  if (drawn.length === 0) {
    const rows = evaluation.worst.map((one) => [
      one.recording,
      one.truth,
      one.predicted,
      one.score.toPrecision(3),
    ]);
    return html`<h2>Worst predictions</h2>${htmlTable(['Row', 'True value', 'Prediction', isValue ? 'Error' : 'Score of the true class'], rows)}`;
  }
  const figures = drawn.map((one) => windowFigure(one, isValue));
  const what = drawn.some(({ samples }) => samples?.picture) ? 'pictures' : 'windows';
  return html`<h2>Worst ${what}</h2><div class="pair">${figures}</div>`;
}

function windowFigure(
  { recording, startS, truth, predicted, score, samples }: WorstWindow,
  isValue: boolean,
): Html {
  if (samples === null) return html``;
  const how = isValue ? `error ${score.toPrecision(3)}` : `score of the true class ${score.toPrecision(2)}`;
  const heading = html`${recording}: ${truth}, predicted ${predicted}<span class="note">${how}</span>`;
  if (samples.picture) return html`<figure><figcaption>${heading}</figcaption>${pictureOf(samples)}</figure>`;
  const { fields, seconds, values } = samples;
  const all = values.flat();
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const x = (i: number, count: number) =>
    margin.left + (i / Math.max(1, count - 1)) * (width - margin.left - margin.right);
  const y = (value: number) =>
    margin.top + (1 - (value - low) / (high - low || 1)) * (height - margin.top - margin.bottom);
  const lines = values.slice(0, colours).map((column, f) => {
    const points = column.map((value, i) => `${x(i, column.length).toFixed(1)},${y(value).toFixed(1)}`);
    return html`<polyline class="line series-${f + 1}" points="${points.join(' ')}"/>`;
  });
  const grid = [low, (low + high) / 2, high].map(
    (value) =>
      html`<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/><text class="tick" text-anchor="end" x="${margin.left - 8}" y="${(y(value) + 4).toFixed(1)}">${String(Number(value.toPrecision(3)))}</text>`,
  );
  const start = startS ?? 0;
  const ends = [start, start + seconds].map(
    (at, i) =>
      html`<text class="tick" text-anchor="${i === 0 ? 'start' : 'end'}" x="${i === 0 ? margin.left : width - margin.right}" y="${height - 8}">${at.toFixed(2)} s</text>`,
  );
  const keys = legend(fields.slice(0, colours).map((name, f) => ({ name, paint: (f + 1) as Paint })));
  return html`<figure><figcaption>${heading}${keys}</figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Samples of the window">${grid}${ends}${lines}</svg></figure>`;
}

/** Width and height of a pixel in a report. */
const pixel = 6;

/** Shades of each color. With more, the file would be larger, but a person would hardly see a difference. */
const shades = 16;

/** A picture as rectangles, because reports load no images. Pixels of the same color share a path. */
function pictureOf({ values, picture }: NonNullable<WorstWindow['samples']>): Html {
  const { width: columns, height: rows } = picture!;
  const shadeOf = (value: number) =>
    Math.round((Math.round((value / 255) * (shades - 1)) / (shades - 1)) * 255);
  const channels = values.length === 3 ? values : [values[0]!, values[0]!, values[0]!];
  const paths = new Map<string, string>();
  for (let at = 0; at < columns * rows; at++) {
    const color = channels.map((channel) => shadeOf(channel[at]!)).join(',');
    const place = `M${at % columns} ${Math.floor(at / columns)}h1v1h-1z`;
    paths.set(color, (paths.get(color) ?? '') + place);
  }
  const drawn = [...paths].map(([color, path]) => html`<path fill="rgb(${color})" d="${path}"/>`);
  return html`<svg viewBox="0 0 ${columns} ${rows}" style="width:${columns * pixel}px" shape-rendering="crispEdges" role="img" aria-label="Picture">${drawn}</svg>`;
}

const most = 20;
const rowHeight = 20;

/** The explanation: importance of features, and saliency over the window for each class. */
function explanation({ explanation: found }: ReportData): Html | null {
  if (!found) return null;
  const metric = { macroF1: 'macro-F1', auc: 'AUC', mae: 'mean absolute error' }[found.metric];
  const repeated = `${found.n} examples, baseline ${metric} ${found.base.toPrecision(4)}`;
  return html`<h2>Feature importance and saliency</h2><div class="pair">${importance(found, metric, repeated)}${saliency(found)}</div>`;
}

function importance({ importance: all }: Explanation, metric: string, note: string): Html {
  const shown = all.slice(0, most);
  const rest = all.length > most ? `; top ${most} of ${all.length}` : '';
  return barChart({
    title: `Loss of ${metric} when one feature is shuffled`,
    note: `${note}${rest}`,
    bars: shown.map(({ feature: name, loss, deviation }) => ({
      ...{ name, value: loss, deviation, text: loss.toPrecision(2) },
    })),
  });
}

/**
 * One row per field of each class (or one for features), and one cell per part. A darker cell means that the class loses more without the
 * part.
 */
function saliency({ saliency: { over, fields, parts, classes } }: Explanation): Html {
  const width = 330 / Math.max(1, parts.length);
  const blocks = classes.map(({ class: name, n, values }) => {
    const largest = Math.max(...values.flat().map(Math.abs), 1e-9);
    const rows = fields.map((field, f) => {
      const cells = parts.map((part, p) => {
        const value = values[f]?.[p] ?? 0;
        const strength = Math.abs(value) / largest;
        const kind = value < 0 ? 'bar negative' : 'heat';
        return html`<rect class="${kind}" fill-opacity="${strength.toFixed(2)}" x="${(100 + p * width).toFixed(1)}" y="${f * rowHeight + 2}" width="${Math.max(1, width - 1).toFixed(1)}" height="${rowHeight - 4}"><title>${part}: ${value.toPrecision(2)}</title></rect>`;
      });
      return html`<text class="name" text-anchor="end" x="92" y="${f * rowHeight + 14}">${field.slice(0, 14)}</text>${cells}`;
    });
    const foot = fields.length * rowHeight + 14;
    const ends = html`<text class="tick" x="100" y="${foot}">${parts[0]}</text><text class="tick" text-anchor="end" x="430" y="${foot}">${parts.at(-1)}</text>`;
    return html`<figcaption>${name}<span class="note">${n} examples</span></figcaption><svg viewBox="0 0 440 ${foot + 8}" role="img" aria-label="Saliency of ${name}">${rows}${ends}</svg>`;
  });
  const what = over === 'time' ? 'part of the window' : 'a feature';
  return html`<figure>${blocks}<p class="lead">How much the score of the class drops when ${what} is replaced by its mean. Darkest: the largest drop per class. Orange: the score rises.</p></figure>`;
}

/** Metrics of the devices' live predictions; compatible with `LiveFigures` in the registry. */
interface ReportLive {
  windows: number;
  accuracy: number;
  macroF1: number;
  voted?: { accuracy: number; macroF1: number };
  confusion: number[][];
  latencyMs: { p50: number; p99: number };
}

interface ReportOptions {
  /** Output HTML file. */
  file: string;
  project: Project;
  live?: ReportLive;
  findings?: Finding[];
  /** Data from the training run that has just finished, which is not stored anywhere. */
  settings?: ProjectConfig['model']['train'];
  /** ID of the training run that has just finished. */
  run?: string | null;
  /** Folds measured before this training run. Default: those in build/folds.json, if they belong to this data and these settings. */
  folds?: FoldsFile | null;
}
