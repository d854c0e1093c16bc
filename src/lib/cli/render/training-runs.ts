import type { Metric } from '../../api/contract/training-runs.js';
import { elapsed, plural, size } from '../../core/figures.js';
import type { PublishedRuns } from '../../model/publish/runs.js';
import type { BestRun, RunsComparison } from '../../model/runs/compare.js';
import { mainMetric, networkOf } from '../../model/runs/metrics.js';
import type { ShownRun, TrainingRun } from '../../model/runs/record.js';
import { bold, facts, green, minute, red, shownPath, table, yellow } from './text.js';

/** Length of a short id: the prefix, the time and two random characters. Unique in practice. */
const shortLength = 'tr_'.length + 12;

const shortId = (run: string) => run.slice(0, shortLength);

function stateText(state: TrainingRun['state']): string {
  if (state === 'done') return green(state);
  return state === 'failed' || state === 'unfinished' ? red(state) : yellow(state);
}

const number = (value: number) => (Number.isInteger(value) ? String(value) : value.toPrecision(4));

/** Formats a metric, such as `0.9731 (95 %: 0.9212–0.9931)`. */
function metricText({ value, interval }: Metric): string {
  return interval ? `${number(value)} (95 %: ${number(interval[0])}–${number(interval[1])})` : number(value);
}

export function trainingRunsTable(runs: readonly TrainingRun[]): string {
  const rows = runs.map((run) => {
    const main = mainMetric(run);
    return [
      shortId(run.run),
      minute(run.started),
      run.kind,
      stateText(run.state),
      networkOf(run),
      main,
      main === null ? null : metricText(run.metrics[main]!),
      run.data.digest.replace('sha256:', '').slice(0, 8),
    ];
  });
  const head = ['run', 'started (UTC)', 'kind', 'state', 'network', 'metric', 'value', 'data'];
  return table(head, rows, 'No training runs yet.');
}

export function trainingRunText(run: ShownRun): string {
  const { environment: at, data, split, error } = run;
  const took = run.ended === null ? '' : `, ${elapsed(run.ended - run.started)}`;
  const pairs: [string, string][] = [
    ['model', run.model],
    ['state', `${stateText(run.state)}${error ? `: ${error.message} (${error.code})` : ''}`],
    ['started', `${minute(run.started)} UTC${took}`],
    ['network', networkOf(run)],
    ['data', `${data.name}, ${plural(data.samples, 'sample')}, ${data.digest.slice(0, 19)}…`],
    ['split', `by ${split.by}, seed ${run.seed}, ${split.digest.slice(0, 19)}…`],
    ['aiot', `${at.aiot}, Node ${at.node}${at.backend === null ? '' : `, ${at.backend}`}`],
    ['machine', `${at.platform}, ${at.cores} × ${at.cpu}`],
    ...(run.search === null ? [] : [['search', run.search] as [string, string]]),
    ...run.leaks.map((text): [string, string] => ['leak', red(text)]),
    ...run.refused.map((text): [string, string] => ['rejected', red(text)]),
  ];
  const metrics = Object.entries(run.metrics).map(([name, metric]) => [
    name,
    metricText(metric),
    metric.folds?.map(number).join(' ') ?? null,
  ]);
  const settings = Object.entries(run.params).map(([name, value]): [string, string] => [name, String(value)]);
  const files = run.files.map(({ name, bytes }): [string, string] => [
    shownPath(`${run.folder}/${name}`),
    size(bytes),
  ]);
  return [
    `${bold(run.run)}\n${facts(pairs)}`,
    table(['metric', 'value', 'by fold'], metrics, 'No metrics.'),
    facts(settings),
    ...(files.length > 0 ? [facts(files)] : []),
  ].join('\n\n');
}

export function publishedRunsText({ models }: PublishedRuns): string {
  return table(
    ['model', 'runs', 'new'],
    models.map(({ model, runs, added }) => [model, String(runs), String(added)]),
    'No training run has ended yet.',
  );
}

/** One row for each run; columns are the settings that differ, and the metrics that any run has. */
export function runsComparisonText(comparison: RunsComparison): string {
  const { runs, params, metrics, sameData, sameSplit } = comparison;
  const shown = metrics.filter(({ values }) => values.some((value) => value !== null));
  const rows = runs.map((run, r) => [
    shortId(run.run),
    ...params.map(({ values }) => (values[r] === null ? null : String(values[r]))),
    ...shown.map(({ values, best }) => {
      const metric = values[r];
      if (!metric) return null;
      return best === r ? green(metricText(metric)) : metricText(metric);
    }),
  ]);
  const head = ['run', ...params.map(({ name }) => name), ...shown.map(({ name }) => name)];
  const notes = [
    ...(sameData ? [] : ['These runs were trained on different data, so their metrics cannot be compared.']),
    ...(sameData && !sameSplit
      ? ['These runs have different splits, so only metrics over folds can be compared.']
      : []),
    ...(params.length === 0 ? ['All settings are identical.'] : []),
  ];
  return [table(head, rows), ...notes.map((note) => `${yellow('!')} ${note}`)].join('\n');
}

export function bestRunText({ best, metric, compared, close, excluded, folder }: BestRun): string {
  const reasons = new Map<string, number>();
  for (const { reason } of excluded) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const left = [...reasons].map(([reason, count]) => `${count} × ${reason}`).join('; ');
  const pairs: [string, string][] = [
    ['Best', `${bold(best.run)}, ${networkOf(best)}`],
    [metric, metricText(best.metrics[metric]!)],
    ['Compared', plural(compared, 'run')],
    ...(close.length > 0
      ? [
          ['Equally good', `${plural(close.length, 'other run')}, whose 95 % interval overlaps`] as [
            string,
            string,
          ],
        ]
      : []),
    ...(left === '' ? [] : [['Left out', left] as [string, string]]),
    ...(best.files.length > 0 ? [['Files', shownPath(folder)] as [string, string]] : []),
  ];
  return facts(pairs);
}
