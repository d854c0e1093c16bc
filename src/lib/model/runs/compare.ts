import * as z from 'zod';
import type { Metric } from '../../api/contract/training-runs.js';
import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { didYouMean } from '../../core/text.js';
import { comparisonOf, higherIsBetter, mainMetric } from './metrics.js';
import {
  findTrainingRun,
  readTrainingRuns,
  runFolder,
  type TrainingRun,
  trainingRunSchema,
} from './record.js';

/** A comparison of runs: the settings that differ, and all metrics. Values are in the order of the runs; null if a run has no value. */
export const runsComparisonSchema = z.object({
  runs: z.array(trainingRunSchema),
  params: z.array(
    z.object({
      name: z.string(),
      values: z.array(z.union([z.string(), z.number(), z.boolean()]).nullable()),
    }),
  ),
  metrics: z.array(
    z.object({
      name: z.string(),
      higherIsBetter: z.boolean(),
      values: z.array(trainingRunSchema.shape.metrics.valueType.nullable()),
      /** Index of the best run; null if fewer than two runs have the metric, or if all values are equal. */
      best: z.int().nullable(),
    }),
  ),
  /** Whether all runs used the same data. If not, the metrics are not comparable. */
  sameData: z.boolean(),
  /** Whether all runs have the same training, validation and test sets. */
  sameSplit: z.boolean(),
});

export type RunsComparison = z.output<typeof runsComparisonSchema>;

/** Maximum number of runs to compare if none are named. */
const mostCompared = 50;

/**
 * Compares these runs. Without any, compares the newest finished runs (at most 50) that used the same data as the newest finished run.
 * @param wanted IDs, or their first characters
 * @throws AIOT_USAGE (only one run, or one twice), AIOT_NOT_FOUND, AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function compareTrainingRuns(dir: string, wanted: readonly string[]): Promise<RunsComparison> {
  if (wanted.length === 0) return comparisonOf(await comparableRuns(dir));
  const runs: TrainingRun[] = [];
  for (const each of wanted) {
    const run = await findTrainingRun(dir, each);
    if (runs.some((other) => other.run === run.run))
      throw new AiotError('AIOT_USAGE', `the training run ${run.run} is named twice`);
    runs.push(run);
  }
  if (runs.length > 1) return comparisonOf(runs);
  throw new AiotError('AIOT_USAGE', 'expected at least two training runs to compare, got one', {
    next: 'Name another run, or none to compare the newest ones. To see the runs, run `aiot model runs list`.',
  });
}

/** The runs to compare if none are named, oldest first. */
async function comparableRuns(dir: string): Promise<TrainingRun[]> {
  const done = (await readTrainingRuns(dir)).filter(({ state }) => state === 'done');
  const newest = done.at(-1);
  const same = done.filter(({ data }) => data.digest === newest?.data.digest);
  if (same.length > 1) return same.slice(-mostCompared);
  throw new AiotError(
    'AIOT_NOT_FOUND',
    `expected at least two finished training runs on the same data, got ${same.length}`,
    {
      subject: 'training-run',
      next: 'Train again with other settings, such as `aiot model train --layers 16`.',
    },
  );
}

export const bestRunSchema = z.object({
  metric: z.string(),
  higherIsBetter: z.boolean(),
  best: trainingRunSchema,
  /** The run's folder, with copies of its files. */
  folder: z.string(),
  /** Number of runs that were compared. */
  compared: z.int(),
  /** Runs whose 95 % interval overlaps the best run's, best first. The data does not show that these runs are worse. */
  close: z.array(z.string()),
  /** Finished runs that were excluded, each with the reason. */
  excluded: z.array(z.object({ run: z.string(), reason: z.string() })),
});

export type BestRun = z.output<typeof bestRunSchema>;

/**
 * Finds the best finished run on the same data as the newest finished run.
 * @param wanted metric; default: the newest finished run's main metric
 * @throws AIOT_NOT_FOUND, AIOT_USAGE (no run has the metric), AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function bestTrainingRun(dir: string, wanted: string | undefined): Promise<BestRun> {
  const done = (await readTrainingRuns(dir)).filter(({ state }) => state === 'done');
  const newest = done.findLast((run) => mainMetric(run) !== null);
  if (!newest) {
    throw new AiotError('AIOT_NOT_FOUND', `${dir} has no finished training runs yet`, {
      subject: 'training-run',
      next: 'Train a model with `aiot model train`.',
    });
  }
  // If model.accept rejects all candidates of a search, an earlier run is compared by its own metric.
  const metrics = wanted
    ? [wanted]
    : [...new Set([...done].reverse().flatMap((run) => mainMetric(run) ?? []))];
  requireMetric(done, metrics[0]!);
  const tried = metrics.map((name) => ({ metric: name, judged: judgedBy(name, done, newest) }));
  const { metric, judged } =
    tried.find((each) => each.judged.some(({ reason }) => reason === null)) ?? tried[0]!;
  const open = judged.flatMap(({ run, reason }) => (reason === null ? [run] : []));
  const sign = higherIsBetter(metric) ? -1 : 1;
  const measureOf = (run: TrainingRun) => run.metrics[metric]!;
  open.sort((a, b) => sign * (measureOf(a).value - measureOf(b).value));
  const [best, ...others] = open;
  if (!best) throw noneLeft(metric, judged);
  return {
    ...{
      metric,
      higherIsBetter: higherIsBetter(metric),
      best,
      compared: open.length,
      folder: runFolder(dir, best.run),
    },
    close: others.filter((other) => overlap(measureOf(best), measureOf(other))).map(({ run }) => run),
    excluded: judged.flatMap(({ run, reason }) => (reason === null ? [] : [{ run: run.run, reason }])),
  };
}

interface Judged {
  run: TrainingRun;
  /** Why the run cannot be compared; null = it can. */
  reason: string | null;
}

function judgedBy(metric: string, runs: readonly TrainingRun[], newest: TrainingRun): Judged[] {
  const isValidation = !/^(?:folds|inner)/.test(metric);
  // Metrics on the validation set are compared within the split of the newest run that has the metric.
  const { split } = newest.metrics[metric] ? newest : (runs.findLast((run) => run.metrics[metric]) ?? newest);
  const reasonOf = (run: TrainingRun): string | null => {
    if (run.data.digest !== newest.data.digest) return 'other data';
    if (run.leaks.length > 0) return 'its split leaks';
    if (run.refused.length > 0) return `it violates model.accept: ${run.refused.join('; ')}`;
    if (run.metrics[metric] === undefined) return `it has no ${metric}`;
    if (isValidation && run.split.digest !== split.digest) return 'another split';
    return null;
  };
  return runs.map((run) => ({ run, reason: reasonOf(run) }));
}

function requireMetric(runs: readonly TrainingRun[], metric: string): void {
  const known = [...new Set(runs.flatMap(({ metrics }) => Object.keys(metrics)))].sort();
  if (known.includes(metric)) return;
  throw new AiotError(
    'AIOT_USAGE',
    `--metric: no finished training run has ${metric}${didYouMean(metric, known)}`,
    {
      next: `Choose one of ${known.join(', ')}.`,
    },
  );
}

function noneLeft(metric: string, judged: readonly Judged[]): AiotError {
  const reasons = judged.slice(0, 3).map(({ run, reason }) => `${run.run}: ${reason}`);
  const others = judged.length - reasons.length;
  return new AiotError(
    'AIOT_NOT_FOUND',
    `none of ${plural(judged.length, 'finished training run')} can be compared by ${metric}. ${reasons.join('. ')}${others > 0 ? `. ${others} more` : ''}`,
    {
      subject: 'training-run',
      next: 'To see the runs, run `aiot model runs list`. Relax model.accept in aiot.yaml, or train again.',
    },
  );
}

/** Whether two intervals overlap, or the values are equal. False if an interval is unknown. */
function overlap(a: Metric, b: Metric): boolean {
  if (a.value === b.value) return true;
  if (!a.interval || !b.interval) return false;
  return a.interval[0] <= b.interval[1] && b.interval[0] <= a.interval[1];
}
