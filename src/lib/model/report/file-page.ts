import { basename } from 'node:path';
import { percent, size, thousands } from '../../core/figures.js';
import { aiotVersion } from '../../core/folders.js';
import { type Html, html, htmlTable, reportPage } from '../../formats/html.js';
import { confusionTable, factList, tileRow } from '../../formats/html-charts.js';
import type { FileEvaluation } from '../evaluate/result.js';
import { calibrationSection, certainty, classTable, gates, limitList } from './figures.js';

/** A page with one file's metrics on rows: gates, confusion, classes, calibration, the worst rows. */
export function fileEvaluationPage(result: FileEvaluation): string {
  const { file, data, n, runtime, precision, classes, confusion, perClass } = result;
  const name = basename(file);
  return reportPage({
    title: `${name} on ${basename(data)}`,
    heading: name,
    lead: `Measured on ${thousands(n)} rows of ${data} by ${runtime === 'litert' ? 'LiteRT' : 'the device interpreter'}${result.standardized ? ', standardized with the mean and deviation in the file' : ''}.`,
    sections: [
      tiles(result),
      gates(result.gates),
      confusion.length > 0
        ? html`<h2>Confusion matrix</h2>${confusionTable(precision, `${thousands(n)} rows`, classes, confusion)}`
        : null,
      perClass.length > 0
        ? html`<h2>Metrics per class</h2>${classTable(perClass, 'Rows')}<p class="lead" style="margin-top:12px">${certainty({ ...result, unit: 'row', agreement: null, folds: null, cost: null })}</p>`
        : null,
      calibrationSection(result),
      worstRows(result),
      limitList(result.warnings),
      html`<h2>Origin</h2>${factList(facts(result))}`,
    ],
    aiot: aiotVersion(),
  });
}

function tiles({ accuracy, macroF1, auc, mae, rmse, r2, calibrationError, ...rest }: FileEvaluation): Html {
  const list: [string, string][] = [];
  const add = (name: string, text: string | null) => {
    if (text !== null) list.push([name, text]);
  };
  const fixed = (value: number | null) => (value === null ? null : value.toFixed(3));
  const error = (value: number | null) => (value === null ? null : value.toPrecision(4));
  add('accuracy', accuracy === null ? null : percent(accuracy));
  add('macro-F1', fixed(macroF1));
  add('AUC', fixed(auc));
  add('calibration error', fixed(calibrationError));
  add('mean absolute error', error(mae));
  add('RMSE', error(rmse));
  add('R²', fixed(r2));
  add(`${rest.precision} model`, size(rest.bytes));
  add('memory on a chip (arena)', rest.arenaBytes === null ? null : size(rest.arenaBytes));
  return tileRow(list);
}

function worstRows({ worst, output }: FileEvaluation): Html | null {
  if (worst.length === 0) return null;
  const rows = worst.map(({ row, truth, predicted, score }) => [
    ...[thousands(row), truth, predicted, score.toPrecision(3)],
  ]);
  return html`<h2>Worst predictions</h2>${htmlTable(['Row', 'True value', 'Prediction', output === 'value' ? 'Error' : 'Score of the true class'], rows)}`;
}

function facts({
  file,
  digest,
  data,
  dataDigest,
  threshold,
  classes,
}: FileEvaluation): [string, string | Html][] {
  return [
    ['Model', html`${file} <code>${digest}</code>`],
    ['Rows', html`${data} <code>${dataDigest}</code>`],
    ...(classes.length > 0 ? ([['Classes', classes.join(', ')]] as [string, string][]) : []),
    ...(threshold === null ? [] : ([['Threshold', String(threshold)]] as [string, string][])),
  ];
}
