import type { Metric } from '../../api/contract/training-runs.js';
import { plural } from '../../core/figures.js';
import { refuseInputs, writeFileAtomic } from '../../core/files.js';
import { aiotVersion } from '../../core/folders.js';
import { type Html, html, htmlTable, reportPage } from '../../formats/html.js';
import { parallelChart } from '../../formats/html-charts.js';
import { axesOf } from '../runs/axes.js';
import type { RunsComparison } from '../runs/compare.js';
import { bestIndex, networkOf } from '../runs/metrics.js';

/** Maximum number of runs in a page's table; `--json` lists all runs. */
const mostRows = 50;

/** Writes a comparison of runs as an HTML file. @throws AIOT_FILE_NOT_WRITABLE, AIOT_FILE_IS_INPUT */
export async function writeRunsReport(file: string, dir: string, comparison: RunsComparison): Promise<void> {
  await refuseInputs([file], [`${dir}/aiot.yaml`]);
  const { runs, sameData, sameSplit } = comparison;
  const first = runs[0]?.data.name ?? '';
  await writeFileAtomic(
    file,
    reportPage({
      title: `Training runs of ${runs[0]?.model ?? 'a project'}`,
      lead: `${plural(runs.length, 'run')} on ${sameData ? first : 'different data'}.`,
      first: [
        ...(sameData
          ? []
          : [warning('These runs were trained on different data: their metrics cannot be compared.')]),
        ...(sameData && !sameSplit
          ? [warning('These runs have different splits: only metrics over folds can be compared.')]
          : []),
      ],
      sections: [runsSection(comparison, null)],
      aiot: aiotVersion(),
    }),
  );
}

const warning = (text: string) => html`<p class="bad">${text}</p>`;

/**
 * The runs as a table and a parallel-coordinates plot.
 * @param own ID of the run that the page describes, which is highlighted; null = highlight the best run
 */
export function runsSection(comparison: RunsComparison, own: string | null): Html {
  const { runs, params, metrics } = comparison;
  const names = metrics.filter(({ name }) => !name.startsWith('linear')).map(({ name }) => name);
  const best = bestIndex(comparison);
  const marked = own === null ? best : runs.findIndex(({ run }) => run === own);
  const rows = runs.slice(-mostRows).map((run) => {
    const r = runs.indexOf(run);
    const notes = [
      ...(r === best ? ['best'] : []),
      ...(run.run === own ? ['this run'] : []),
      ...(run.refused.length > 0 ? ['rejected'] : []),
      ...(run.leaks.length > 0 ? ['leaks'] : []),
    ];
    return [
      run.run.slice(0, 15),
      networkOf(run),
      ...params.filter(shownParameter).map(({ values }) => String(values[r] ?? '–')),
      ...names.map((name) => metricCell(run.metrics[name])),
      notes.join(', '),
    ];
  });
  const head = ['Run', 'Network', ...params.filter(shownParameter).map(({ name }) => name), ...names, ''];
  const axes = axesOf(comparison);
  const chart =
    axes.length < 2
      ? null
      : parallelChart({
          title: 'Settings and metrics',
          note: 'one line per run',
          axes,
          lines: runs.map(({ run }, r) => ({ name: run, marked: r === marked })),
          key: own === null ? 'best run' : 'this run',
        });
  return html`<h2>Training runs</h2>${chart}${htmlTable(head, rows)}`;
}

/** The network's kind and layers have a separate column. */
const shownParameter = ({ name }: { name: string }) => name !== 'model.kind' && name !== 'model.layers';

function metricCell(metric: Metric | undefined): string {
  if (!metric) return '–';
  const { value, interval } = metric;
  const text = (number: number) => (Number.isInteger(number) ? String(number) : number.toPrecision(4));
  return interval ? `${text(value)} (${text(interval[0])}–${text(interval[1])})` : text(value);
}
