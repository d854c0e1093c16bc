import { AiotError, type ProjectConfig, seededRandom, shuffled } from '../../core/index.js';
import {
  copiesIn,
  type Dataset,
  partSizes,
  type Recording,
  type Split,
  splitDataset,
} from '../../data/index.js';
import type { NetworkOutput } from '../network/layers.js';
import { classIndex } from './classes.js';
import type { Classes } from './types.js';

/**
 * Which recordings are trained on, chosen by and evaluated on. With classes to be told apart, as `splitDataset` does it.
 * Without (values, or what is normal), whole recordings or devices, or by time, with copies together; what is labelled as an
 * anomaly is for the figures alone.
 * @throws as `splitDataset`
 */
export function splitRecordings(
  dataset: Dataset,
  model: ProjectConfig['model'],
  output: NetworkOutput['kind'],
  classes: Classes,
): Split {
  if (output === 'classes' || output === 'probability') return splitDataset(dataset, model);
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
      `expected at least 3 ${by === 'device' ? 'devices' : 'independent recordings'} to train, choose and test on, got ${order.length}; copies of one count as one`,
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
  throw new AiotError('AIOT_DATA_NO_DEVICE', `model.split is "device", but recording ${id} names none`);
}

/** Units with copies of each other in them become one. */
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
        `model.split is "time", but recording ${id} does not say when it started`,
      );
    }),
  );
  const first = (unit: string[]) => Math.min(...unit.map((id) => startOf.get(id)!));
  return [...units].sort((a, b) => first(a) - first(b));
}
