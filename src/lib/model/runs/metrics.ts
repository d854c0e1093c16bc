// Used by commands, reports and the dashboard, so it imports no code.
import type { Metric, Parameter, PublishedRun } from '../../api/contract/training-runs.js';

/** The metrics that rank a run, the most reliable first: over folds, over a search's inner folds, on the validation set. */
const mainMetrics = [
  'foldsMacroF1',
  'foldsRmse',
  'innerMacroF1',
  'innerRmse',
  'valAccuracy',
  'valRmse',
  'valLoss',
] as const;

/** The metric that ranks a run; null if the run has none. */
export function mainMetric({ metrics }: Pick<PublishedRun, 'metrics'>): string | null {
  return mainMetrics.find((name) => metrics[name] !== undefined) ?? null;
}

/** Whether a larger value of a metric is better: true for accuracies and F1 scores, false for losses, errors and costs. */
export function higherIsBetter(metric: string): boolean {
  return /(?:accuracy|F1)$/i.test(metric);
}

/** Kind and hidden layers of a run's network, such as `mlp 32-16`; `linear` if a linear model replaced it. */
export function networkOf({ params }: Pick<PublishedRun, 'params'>): string {
  if (params.chosen === 'linear') return 'linear';
  return `${params['model.kind'] ?? ''} ${params['model.layers'] ?? ''}`.trim();
}

/** The part of a run that is compared. */
export type Comparable = Pick<PublishedRun, 'params' | 'metrics' | 'data' | 'split' | 'leaks' | 'refused'>;

interface Comparison<Run> {
  runs: Run[];
  params: { name: string; values: (Parameter | null)[] }[];
  metrics: { name: string; higherIsBetter: boolean; values: (Metric | null)[]; best: number | null }[];
  sameData: boolean;
  sameSplit: boolean;
}

/** Compares runs: the settings that differ, and all metrics (see `runsComparisonSchema`). */
export function comparisonOf<Run extends Comparable>(runs: readonly Run[]): Comparison<Run> {
  const names = (of: (run: Run) => object) => [...new Set(runs.flatMap((run) => Object.keys(of(run))))];
  const params = names(({ params }) => params)
    .map((name) => ({ name, values: runs.map((run) => run.params[name] ?? null) }))
    .filter(({ values }) => new Set(values).size > 1);
  const metrics = names(({ metrics }) => metrics).map((name) => {
    const values = runs.map((run) => run.metrics[name] ?? null);
    return { name, higherIsBetter: higherIsBetter(name), values, best: bestOf(name, values) };
  });
  const single = (of: (run: Run) => string) => new Set(runs.map(of)).size <= 1;
  return {
    ...{ runs: [...runs], params, metrics },
    sameData: single(({ data }) => data.digest),
    sameSplit: single(({ split }) => split.digest),
  };
}

function bestOf(name: string, values: readonly (Metric | null)[]): number | null {
  const known = values.flatMap((metric, i) => (metric ? [{ value: metric.value, i }] : []));
  if (new Set(known.map(({ value }) => value)).size < 2) return null;
  known.sort((a, b) => (higherIsBetter(name) ? b.value - a.value : a.value - b.value));
  return known[0]!.i;
}

/** Index of the best run by the newest run's main metric, excluding runs with leaks or violated limits; −1 = none. */
export function bestIndex({ runs, metrics }: Pick<Comparison<Comparable>, 'runs' | 'metrics'>): number {
  const newest = runs.at(-1);
  const name = newest && mainMetric(newest);
  const found = metrics.find((each) => each.name === name);
  const open = runs.flatMap((run, r) => {
    const value = found?.values[r]?.value;
    return value === undefined || run.leaks.length > 0 || run.refused.length > 0 ? [] : [{ r, value }];
  });
  open.sort((a, b) => (found?.higherIsBetter ? b.value - a.value : a.value - b.value));
  return open[0]?.r ?? -1;
}
