import { AiotError } from '../../core/errors.js';
import type { Project } from '../../core/project.js';
import type { ProjectConfig } from '../../core/project-schema.js';
import { openRows, projectRows, type Rows } from '../tables/rows.js';
import { compareSides } from './compare.js';
import { windowBounds } from './course.js';
import type { Drift, FeatureDrift } from './result.js';
import { readReference, type Side, sideOf } from './side.js';

/** False-positive rate: the probability that a comparison without any change is reported as drift. */
export const defaultAlpha = 0.01;

/** Number of bins for PSI and Jensen–Shannon. */
export const defaultBins = 10;

interface DriftOptions {
  /** The base: a CSV file, a folder of recordings or of a project, or a reference (.json); absent = the project's own recordings. */
  base?: string | undefined;
  /** The data to compare with the base. Accepts the same kinds of sources, except a reference. */
  now: string;
  /** Supplies units and limits. */
  project?: Project | undefined;
  alpha?: number | undefined;
  bins?: number | undefined;
  label?: string | undefined;
  prediction?: string | undefined;
  time?: string | undefined;
  columns?: readonly string[] | undefined;
  /** Number of windows of equal size, such as `12`, or duration of each window, such as `1h`. */
  windows?: string | undefined;
  limits?: DriftLimits;
  /**
   * Replaces the function that opens a side, for example to compare a model's embeddings. Without a source, it opens the project's own
   * data.
   */
  open?: ((source?: string) => Promise<Rows>) | undefined;
}

/**
 * Compares data with a base: each column, all columns together, over time, and against limits (given limits override the project's).
 * @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED, AIOT_CSV_*, AIOT_DATA_*
 */
export async function compareData(options: DriftOptions): Promise<Drift> {
  const { project, alpha = defaultAlpha, bins = defaultBins, limits = {} } = options;
  if (!(alpha > 0 && alpha < 1)) {
    throw new AiotError('AIOT_USAGE', `--alpha: expected a probability between 0 and 1, got ${alpha}`);
  }
  const base = await openBase(options, bins);
  const now = options.open ? await options.open(options.now) : await openRows(options.now, options);
  refuseStrangers(base, now);
  const fields = project?.config.stream.fields ?? {};
  const found = compareSides(base, now, {
    alpha,
    bins,
    units: Object.fromEntries(Object.entries(fields).map(([name, { unit }]) => [name, unit])),
    windows: options.windows === undefined ? null : windowBounds(options.windows, now),
  });
  const own = project ? driftLimits(project.config.model) : {};
  const gates = driftGates(found, { none: limits.none || own.none, psi: limits.psi ?? own.psi });
  return { ...found, gates, ok: gates.every(({ passed }) => passed) };
}

async function openBase({ base, project, open, ...options }: DriftOptions, bins: number): Promise<Side> {
  if (open) {
    if (base === undefined || !/\.json$/i.test(base)) return sideOf(await open(base), { bins });
    throw new AiotError('AIOT_USAGE', `--embeddings: expected a folder of recordings, got ${base}`);
  }
  if (base !== undefined && /\.json$/i.test(base)) return await readReference(base);
  if (base !== undefined) return sideOf(await openRows(base, options), { bins });
  if (project === undefined) throw new AiotError('AIOT_USAGE', 'expected a baseline to compare with');
  return sideOf(await projectRows(project), { bins });
}

function refuseStrangers(base: Side, now: Rows): void {
  const names = base.features.map(({ name }) => name);
  const others = now.features.map(({ name }) => name);
  const same =
    names.some((name) => others.includes(name)) ||
    (base.label && now.label) ||
    (base.prediction && now.prediction);
  if (same) return;
  throw new AiotError(
    'AIOT_CSV_COLUMNS',
    `${now.name}: expected some of the columns ${names.join(', ')} of ${base.name}, got ${others.join(', ')}`,
    { next: 'Choose two files with the same columns.' },
  );
}

interface DriftLimits {
  /** Whether the check fails if anything has drifted. */
  none?: boolean | undefined;
  /** Largest PSI allowed for any feature. */
  psi?: number | undefined;
}

/** model.accept.drift: `none`, or the largest PSI allowed. */
function driftLimits({ accept }: ProjectConfig['model']): DriftLimits {
  const { drift } = accept;
  if (drift === undefined) return {};
  return drift === 'none' ? { none: true } : { psi: drift };
}

/** Checks the result against the limits; each violation is explained in a sentence. */
function driftGates(drift: Omit<Drift, 'gates' | 'ok'>, { none = false, psi }: DriftLimits): Drift['gates'] {
  const { features, label, prediction, joint } = drift;
  const gates: Drift['gates'] = [];
  if (none) {
    const names = [...features, ...(label ? [label] : []), ...(prediction ? [prediction] : [])]
      .filter(({ drifted }) => drifted)
      .map(({ name }) => name);
    if (joint?.drifted) names.push('all columns together');
    const message =
      names.length === 0 ? 'nothing has drifted' : `expected no drift, got drift in ${names.join(', ')}`;
    gates.push({ name: 'drift', limit: 0, got: names.length, passed: names.length === 0, message });
  }
  if (psi !== undefined) {
    const worst = features.reduce<FeatureDrift | null>(
      (most, one) => (most && most.psi >= one.psi ? most : one),
      null,
    );
    const got = worst?.psi ?? 0;
    const passed = got <= psi;
    const shown = `${got.toFixed(3)}${worst ? ` of ${worst.name}` : ''}`;
    const message = passed
      ? `largest PSI ${shown}, at most ${psi}`
      : `PSI: expected at most ${psi}, got ${shown}`;
    gates.push({ name: 'psi', limit: psi, got, passed, message });
  }
  return gates;
}
