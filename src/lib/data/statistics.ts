import * as z from 'zod';
import { refuseInputs } from '../core/files.js';
import { quantile } from '../core/numbers.js';
import type { Project } from '../core/project.js';
import type { Column, TextColumn } from '../formats/csv/cells.js';
import { histogramOf } from './drift/bins.js';
import { defaultBins } from './drift/drift.js';
import type { Profile } from './drift/profile.js';
import { momentsShape } from './drift/result.js';
import { saveReference, sideOf } from './drift/side.js';
import { openRows, projectRows, type RowsOptions } from './tables/rows.js';

interface StatisticsOptions extends RowsOptions {
  /** A CSV file, a folder of recordings or of a project; absent = the project's own. */
  path?: string | undefined;
  project?: Project | undefined;
  /** Output file for a reference that `data drift` accepts instead of these rows. */
  save?: string | undefined;
}

/**
 * Computes the statistics of rows: by column, by label, by recording.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_CSV_*, AIOT_DATA_*, AIOT_FILE_IS_INPUT, AIOT_FILE_NOT_WRITABLE
 */
export async function dataStatistics(options: StatisticsOptions): Promise<Statistics> {
  const { path, project, save } = options;
  await refuseInputs([save], [path]);
  const rows = path === undefined ? await projectRows(project!) : await openRows(path, options);
  const groups = { label: groupsOf(rows.label), take: groupsOf(rows.take) };
  const side = sideOf(rows, {
    bins: defaultBins,
    look(column) {
      if (rows.label === column || rows.prediction === column) return;
      addGroups(groups.label, column);
      addGroups(groups.take, column);
    },
  });
  if (save !== undefined) await saveReference(save, side);
  const units = project?.config.stream.fields ?? {};
  const field = (profile: Profile) => fieldOf(profile, units[profile.name]?.unit ?? null);
  return {
    name: side.name,
    from: rows.from,
    rows: side.rows,
    rateHz: side.rateHz,
    fields: side.features.map(field),
    label: side.label && field(side.label),
    prediction: side.prediction && field(side.prediction),
    byLabel: groups.label?.groups ?? [],
    byRecording: groups.take?.groups ?? [],
    ignored: side.ignored,
    saved: save ?? null,
  };
}

interface Groups {
  by: TextColumn;
  groups: GroupStatistics[];
}

/** Maximum number of groups whose statistics are listed. */
const mostGroups = 1000;

function groupsOf(by: TextColumn | null): Groups | null {
  if (by === null || by.words.length > mostGroups) return null;
  const rows = new Float64Array(by.words.length);
  for (const code of by.codes) if (code >= 0) rows[code]!++;
  return { by, groups: by.words.map((name, code) => ({ name, rows: rows[code]!, fields: [] })) };
}

function addGroups(groups: Groups | null, column: Column): void {
  if (groups === null || column.kind !== 'number') return;
  const { codes, words } = groups.by;
  const zero = () => new Float64Array(words.length);
  const [count, mean, squares] = [zero(), zero(), zero()];
  const min = zero().fill(Number.POSITIVE_INFINITY);
  const max = zero().fill(Number.NEGATIVE_INFINITY);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i]!;
    const value = column.values[i]!;
    if (code < 0 || value - value !== 0) continue;
    // Welford (1962): one pass, without the difference of two large sums.
    const step = value - mean[code]!;
    mean[code]! += step / ++count[code]!;
    squares[code]! += step * (value - mean[code]!);
    if (value < min[code]!) min[code] = value;
    if (value > max[code]!) max[code] = value;
  }
  words.forEach((_, code) => {
    const some = count[code]! > 0;
    groups.groups[code]!.fields.push({
      name: column.name,
      count: count[code]!,
      min: some ? min[code]! : null,
      max: some ? max[code]! : null,
      mean: some ? mean[code]! : null,
      deviation: some ? Math.sqrt(squares[code]! / count[code]!) : null,
    });
  });
}

function fieldOf(profile: Profile, unit: string | null): FieldStatistics {
  const { name, kind, rows, count, missing, effective } = profile;
  const common = { name, kind, unit, rows, count, missing, effective };
  if (profile.kind === 'text') {
    const categories = [...profile.counts].map(([word, times]) => ({ word, count: times }));
    const none = {
      infinite: 0,
      min: null,
      max: null,
      mean: null,
      deviation: null,
      quantiles: null,
      histogram: null,
    };
    return { ...common, ...none, categories: categories.sort((a, b) => b.count - a.count), longestRun: 0 };
  }
  const { sorted, infinite, mean, deviation, longestRun } = profile;
  const at = (share: number) => quantile(sorted, share);
  const histogram = histogramOf(sorted, sorted);
  const some = count > 0;
  return {
    ...common,
    infinite,
    min: some ? sorted[0]! : null,
    max: some ? sorted.at(-1)! : null,
    mean: some ? mean : null,
    deviation: some ? deviation : null,
    quantiles: some
      ? {
          p01: at(0.01),
          p05: at(0.05),
          p25: at(0.25),
          p50: at(0.5),
          p75: at(0.75),
          p95: at(0.95),
          p99: at(0.99),
        }
      : null,
    histogram: histogram && { from: histogram.from, to: histogram.to, shares: histogram.base },
    categories: null,
    longestRun,
  };
}

const groupSchema = z.object({
  /** The label, or the recording. */
  name: z.string(),
  rows: z.int(),
  fields: z.array(
    z.object({
      name: z.string(),
      count: z.int(),
      ...momentsShape,
    }),
  ),
});

type GroupStatistics = z.output<typeof groupSchema>;

const fieldStatisticsSchema = z.object({
  name: z.string(),
  kind: z.enum(['number', 'text']),
  unit: z.string().nullable(),
  rows: z.int(),
  /** Number of rows with a finite number, or a word. */
  count: z.int(),
  missing: z.int(),
  infinite: z.int(),
  ...momentsShape,
  /** Quantiles with linear interpolation between values, as in numpy. */
  quantiles: z
    .object({
      p01: z.number(),
      p05: z.number(),
      p25: z.number(),
      p50: z.number(),
      p75: z.number(),
      p95: z.number(),
      p99: z.number(),
    })
    .nullable(),
  /** Shares in bars of equal width; excludes 0.5 % of the values at either end. */
  histogram: z.object({ from: z.number(), to: z.number(), shares: z.array(z.number()) }).nullable(),
  /** Words by frequency, the most frequent first; null for numbers. */
  categories: z.array(z.object({ word: z.string(), count: z.int() })).nullable(),
  /** Longest run of consecutive rows with one value. */
  longestRun: z.int(),
  /** Number of independent rows that carry as much information as these rows, given how slowly their values change. */
  effective: z.number(),
});

type FieldStatistics = z.output<typeof fieldStatisticsSchema>;

export const statisticsSchema = z.object({
  name: z.string(),
  from: z.enum(['csv', 'recordings', 'project']),
  rows: z.int(),
  /** Samples per second, if a project declares it. */
  rateHz: z.number().nullable(),
  fields: z.array(fieldStatisticsSchema),
  label: fieldStatisticsSchema.nullable(),
  prediction: fieldStatisticsSchema.nullable(),
  byLabel: z.array(groupSchema),
  byRecording: z.array(groupSchema),
  ignored: z.array(z.string()),
  /** Path of the written reference. */
  saved: z.string().nullable(),
});

export type Statistics = z.output<typeof statisticsSchema>;
