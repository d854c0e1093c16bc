import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { refuseInputs, writeFileAtomic } from '../../core/files.js';
import { dictionary } from '../../core/names.js';
import type { Project } from '../../core/project.js';
import { featureSetNames, isSoundSet } from '../../core/project-schema.js';
import { frameCount } from '../../signal/mel.js';
import { featureNames, melSpecOf, type SignalSpec, signalSpecOf } from '../../signal/spec.js';
import { openDataset } from '../dataset/open.js';
import { type LabelFrom, openLoose } from '../tables/loose-recordings.js';
import type { Dataset, Recording } from '../types.js';
import { type Ranking, rankFeatures } from './rank.js';
import { completeRows, type FeatureTable, featureTable, tableText } from './table.js';

interface FeaturesOptions {
  /** CSV files and folders. Default: the project's recordings. */
  paths: string[];
  /** The project, whose signal part supplies the settings that the options below omit. */
  project?: Project;
  /** A folder of recordings instead of the project's own. */
  data?: string;
  /** A set's name, or names of features from those sets. */
  set?: string;
  rateHz?: number;
  lowpassHz?: number;
  /** Rate after resampling, Hz. */
  resampleHz?: number;
  /** Window length, samples. */
  window?: number;
  stride?: number;
  /** Samples omitted at both ends of each recording. */
  trim?: number;
  /** Whether to include a recording's last, partially filled window. Outside projects, the default for the set `har` is to include it. */
  tail?: 'keep' | 'drop';
  /**
   * Default for several recordings: the first source with labels (a label column, folders, names). Default for a single recording: none.
   */
  labelFrom?: LabelFrom;
  rank?: boolean;
  /** CSV file to write. */
  out?: string;
}

const rankedSchema = z.object({
  name: z.string(),
  information: z.number(),
  f: z.number(),
  importance: z.number(),
});

export const featuresResultSchema = z.object({
  /** Name of the set, or number of selected features. */
  set: z.string(),
  columns: z.array(z.string()),
  rows: z.int(),
  /** Number of rows with an empty cell, from windows that are too short for a feature. */
  incomplete: z.int(),
  recordings: z.int(),
  rateHz: z.number(),
  window: z.int(),
  stride: z.int(),
  labelFrom: z.string(),
  /** Number of rows by label. */
  labels: z.record(z.string(), z.int()),
  /** The file that was written; null = none. */
  file: z.string().nullable(),
  /**
   * Features ranked by their information about the label. `information`: mutual information in bits, over the windows. `f`: one-way ANOVA
   * over the means of whole recordings. `importance`: accuracy that a linear probe loses on held-out recordings if the values are permuted.
   */
  ranking: z
    .object({
      accuracy: z.number(),
      folds: z.int(),
      labels: z.array(z.string()),
      features: z.array(rankedSchema),
    })
    .nullable(),
});

export type FeaturesResult = z.output<typeof featuresResultSchema>;

/**
 * Computes the features of recordings as a table: one row per window.
 * @returns the result, and the table's text if neither an output file nor a ranking was requested
 * @throws AIOT_USAGE (no window, no rate), AIOT_FEATURE_*, AIOT_DATA_*, AIOT_CSV_*, AIOT_FILE_*
 */
export async function makeFeatures(
  options: FeaturesOptions,
): Promise<{ result: FeaturesResult; text: string | null }> {
  const { dataset, recordings, labelFrom } = await recordingsOf(options);
  await refuseInputs([options.out], [...options.paths, options.data]);
  const spec = specOf(options, dataset);
  const unfilled = unfilledOf(options, spec);
  const table = featureTable(spec, recordings, { trim: options.trim ?? 0, unfilled });
  const complete = completeRows(table);
  const ranking = options.rank ? rankFeatures(complete) : null;
  const labelled = labelFrom !== 'none';
  const wanted = options.out !== undefined || ranking === null;
  const text = wanted ? tableText(table, labelled) : null;
  if (options.out !== undefined) await writeFileAtomic(options.out, text!);
  return {
    result: resultOf(options, { spec, dataset, table, complete, labelFrom, ranking }),
    text: options.out === undefined ? text : null,
  };
}

function resultOf(
  { out }: FeaturesOptions,
  made: {
    spec: SignalSpec;
    dataset: Dataset;
    table: FeatureTable;
    complete: FeatureTable;
    labelFrom: string;
    ranking: Ranking | null;
  },
): FeaturesResult {
  const { spec, dataset, table, complete, labelFrom, ranking } = made;
  const labels = dictionary<number>();
  if (labelFrom !== 'none') {
    for (const label of table.labels)
      labels[label ?? 'unlabelled'] = (labels[label ?? 'unlabelled'] ?? 0) + 1;
  }
  return {
    set: Array.isArray(spec.features) ? `${spec.features.length} picked` : spec.features,
    columns: table.names,
    rows: table.rows.length,
    incomplete: table.rows.length - complete.rows.length,
    recordings: dataset.recordings.length,
    rateHz: spec.resampleHz,
    window: spec.windowSamples,
    stride: spec.strideSamples,
    labelFrom,
    labels,
    file: out ?? null,
    ranking,
  };
}

async function recordingsOf(
  options: FeaturesOptions,
): Promise<{ dataset: Dataset; recordings: Recording[]; labelFrom: string }> {
  const { project, paths, data, rateHz } = options;
  if (paths.length === 0) {
    if (!project) throw new AiotError('AIOT_USAGE', 'expected recordings, or a project');
    const dataset = await openDataset(project, data);
    const from = options.labelFrom === 'none' ? 'none' : 'project';
    return { dataset, recordings: dataset.recordings, labelFrom: from };
  }
  const labels = Object.values(project?.config.model.labels ?? {}).flat();
  const told = rateHz ?? project?.config.signal.rate;
  const { dataset, inOrder, labelFrom, rateFrom } = await openLoose({
    paths,
    rateHz: told,
    labelFrom: options.labelFrom,
    labels,
  });
  if (rateFrom === 'assumed') {
    throw new AiotError(
      'AIOT_USAGE',
      '--rate: expected the sample rate of the recordings in Hz, got nothing',
      {
        next: 'Specify it in Hz, such as --rate 100.',
      },
    );
  }
  const one = dataset.recordings.length === 1 && options.labelFrom === undefined;
  return { dataset, recordings: inOrder, labelFrom: one ? 'none' : labelFrom };
}

function unfilledOf({ tail, project, paths }: FeaturesOptions, { features }: SignalSpec): boolean {
  if (tail === 'keep' && features !== 'har') {
    throw new AiotError(
      'AIOT_USAGE',
      `--tail keep: only the feature set har supports incomplete windows; got ${Array.isArray(features) ? 'a list' : features}`,
    );
  }
  if (tail !== undefined) return tail === 'keep';
  return features === 'har' && !project && paths.length > 0;
}

/**
 * The requested signal part: options first, then the project, then defaults derived from the recordings.
 * @throws AIOT_USAGE (no window, an impossible filter or rate), AIOT_FEATURE_UNKNOWN, AIOT_FEATURE_UNFIT
 */
function specOf(options: FeaturesOptions, dataset: Dataset): SignalSpec {
  const { project, set, window, stride } = options;
  const own = project ? signalSpecOf(project.config) : null;
  const windowSamples = window ?? own?.windowSamples;
  if (windowSamples === undefined) {
    throw new AiotError('AIOT_USAGE', '--window: expected the number of samples per window, got nothing', {
      next: 'Specify it, such as --window 500.',
    });
  }
  const { rateHz } = dataset;
  const resampleHz = options.resampleHz ?? own?.resampleHz ?? rateHz;
  const lowpassHz = options.lowpassHz ?? own?.lowpassHz ?? null;
  if (resampleHz > rateHz) throw unfit('--resample', `at most the rate, ${rateHz} Hz`, resampleHz);
  if (lowpassHz !== null && lowpassHz >= rateHz / 2) {
    throw unfit('--lowpass', `a frequency below half the rate, ${rateHz / 2} Hz`, lowpassHz);
  }
  const features = set === undefined ? (own?.features ?? 'motion') : featuresOf(set);
  const mel = isSoundSet(features) ? melSpecOf(features, project?.config.signal.mel, resampleHz) : undefined;
  // In a stream, each frame is used once.
  const usual = mel?.state === 'stream' ? frameCount({ windowSamples }, mel) * mel.hopSamples : windowSamples;
  const spec: SignalSpec = {
    fields: own?.fields.every((field) => dataset.fields.includes(field)) ? own.fields : dataset.fields,
    rateHz,
    lowpassHz,
    resampleHz,
    windowSamples,
    strideSamples: stride ?? (window === undefined ? own?.strideSamples : undefined) ?? usual,
    features,
    ...(mel && { mel }),
  };
  featureNames(spec);
  return spec;
}

function unfit(flag: string, expected: string, got: number): AiotError {
  return new AiotError('AIOT_USAGE', `${flag}: expected ${expected}; got ${got}`);
}

function featuresOf(set: string): SignalSpec['features'] {
  const named = featureSetNames.find((name) => name === set);
  if (named) return named;
  const names = set.split(',').map((name) => name.trim());
  if (names.length === 1 && !/[_[]/.test(set)) {
    throw new AiotError(
      'AIOT_FEATURE_UNKNOWN',
      `--set: expected ${featureSetNames.join(', ')}, or names of features; got "${set}"`,
    );
  }
  return names;
}
