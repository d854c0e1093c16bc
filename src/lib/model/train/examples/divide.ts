import { AiotError } from '../../../core/errors.js';
import { seededRandom, shuffled } from '../../../core/numbers.js';
import type { Project } from '../../../core/project.js';
import type { ProjectConfig } from '../../../core/project-schema.js';
import { checkSplit, leakError } from '../../../data/check/copies.js';
import { copiesIn } from '../../../data/copies/copies.js';
import { partSizes } from '../../../data/parts.js';
import { splitDataset } from '../../../data/split.js';
import type { Dataset, Recording, Split } from '../../../data/types.js';
import type { Material } from '../../material.js';
import type { NetworkOutput } from '../../network/layers.js';
import type { Plan } from '../plan.js';
import type { Classes } from '../types.js';
import { classIndex } from './examples.js';
import { type Division, truthOf } from './parts.js';
import { splitRows } from './row-split.js';

/**
 * Divides the examples into parts.
 * @param asked explicitly requested split; if the data lacks the required information, an error is thrown instead of a random division
 * @throws AIOT_DATA_*, AIOT_LABEL_UNKNOWN, AIOT_USAGE
 */
export function divide({ config }: Project, material: Material, plan: Plan, asked?: Split['by']): Division {
  const { rows, dataset } = material;
  const { network, classes, signal } = plan;
  const base = { network, classes, signal };
  const { kind } = network.output;
  if (!rows) return { ...base, split: splitRecordings(dataset, config.model, kind, classes), parts: null };
  if (asked === 'recording' || asked === 'device') {
    requireGroups(material, 'Add such a column, or divide the rows at random: omit --split');
  }
  const { split, train } = config.model;
  return { ...base, ...splitRows(rows, truthOf(base), { output: kind, wanted: split, seed: train.seed }) };
}

/**
 * Leaks in a split that is used nevertheless, as sentences. A table is not checked, because equal rows stay together.
 * @throws AIOT_DATA_LEAK unless leaks are allowed
 */
export function leaksOf({ dataset, rows }: Material, { split, signal }: Division, force = false): string[] {
  if (rows) return [];
  const findings = checkSplit(dataset, split, signal);
  const error = leakError(findings);
  if (error && !force) {
    throw error.reworded(error.message, {
      cause: error,
      next: 'Split by recording, device or time (model.split), or add --force: the report then starts with a warning.',
    });
  }
  return findings
    .filter(({ kind, severity }) => kind === 'leak' && severity === 'error')
    .map(({ message }) => message);
}

/**
 * Assigns recordings to training, validation and testing. For classes, `splitDataset` does this. For values or the normal state, whole
 * recordings or devices are assigned at random or by time, and copies stay together. Recordings labeled as anomalies are used only for
 * testing.
 * @throws as `splitDataset`
 */
function splitRecordings(
  dataset: Dataset,
  model: ProjectConfig['model'],
  output: NetworkOutput['kind'],
  classes: Classes,
): Split {
  if (output === 'classes' || output === 'probability' || output === 'objects')
    return splitDataset(dataset, model);
  const index = classIndex(classes);
  const isAnomaly = ({ label }: Recording) =>
    output === 'reconstruction' && (index.get(label ?? '') ?? 0) > 0;
  const usable = dataset.recordings.filter(({ label }) => output === 'reconstruction' || label !== null);
  const anomalies = usable.filter(isAnomaly).map(({ id }) => id);
  const others = usable.filter((recording) => !isAnomaly(recording));
  const { split: by, train } = model;
  const ids = others.map(({ id }) => id);
  if (by === 'window') {
    const test = [...ids, ...anomalies].sort();
    return { by, seed: train.seed, train: ids, validation: ids, test };
  }
  const units = by === 'device' ? unitsBy(others, deviceOf) : unitsBy(others, ({ id }) => id);
  const joined = joinCopies(units, dataset);
  const order = by === 'time' ? inTime(joined, others) : shuffled(joined, seededRandom(train.seed));
  if (order.length < 3) {
    throw new AiotError(
      'AIOT_DATA_TOO_FEW',
      `expected at least 3 ${by === 'device' ? 'devices' : 'independent recordings'} for training, validation and testing, got ${order.length}; copies of one count as one`,
    );
  }
  const { validation, test } = partSizes(order.length);
  const upTo = order.length - test - validation;
  return {
    by,
    seed: train.seed,
    train: order.slice(0, upTo).flat().sort(),
    validation: order
      .slice(upTo, upTo + validation)
      .flat()
      .sort(),
    test: [...order.slice(upTo + validation).flat(), ...anomalies].sort(),
  };
}

function unitsBy(recordings: Recording[], keyOf: (recording: Recording) => string): string[][] {
  const units = new Map<string, string[]>();
  for (const recording of recordings) {
    const key = keyOf(recording);
    units.set(key, [...(units.get(key) ?? []), recording.id]);
  }
  return [...units.values()];
}

function deviceOf({ id, device }: Recording): string {
  if (device !== null) return device;
  throw new AiotError('AIOT_DATA_NO_DEVICE', `model.split is "device", but recording ${id} names no device`);
}

/** Merges units that contain copies of each other. */
export function joinCopies(units: string[][], dataset: Dataset): string[][] {
  let joined = units;
  for (const { a, b } of copiesIn(dataset)) {
    const one = joined.find((unit) => unit.includes(a));
    const other = joined.find((unit) => unit.includes(b));
    if (!one || !other || one === other) continue;
    joined = joined
      .filter((unit) => unit !== other)
      .map((unit) => (unit === one ? [...one, ...other] : unit));
  }
  return joined;
}

function inTime(units: string[][], recordings: Recording[]): string[][] {
  const startOf = new Map(
    recordings.map(({ id, startedAt }) => {
      if (startedAt !== null) return [id, startedAt] as const;
      throw new AiotError(
        'AIOT_DATA_NO_TIME',
        `model.split is "time", but recording ${id} has no start time`,
      );
    }),
  );
  const first = (unit: string[]) => Math.min(...unit.map((id) => startOf.get(id)!));
  return [...units].sort((a, b) => first(a) - first(b));
}

/**
 * Requires a group for each row. Without groups, rows cannot be divided by recording or device.
 * @throws AIOT_USAGE
 */
export function requireGroups({ rows }: Material, next: string): void {
  if (!rows || rows.table.groups !== null) return;
  throw new AiotError(
    'AIOT_USAGE',
    `${rows.file} has no column for grouping rows (group, recording or device)`,
    { next },
  );
}
