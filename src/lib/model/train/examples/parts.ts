import type { ProjectConfig } from '../../../core/project-schema.js';
import { type Part, windowParts } from '../../../data/parts.js';
import type { Dataset, Recording, Split } from '../../../data/types.js';
import type { SignalSpec } from '../../../signal/spec.js';
import { centerOf } from '../../../vision/grid.js';
import type { ObjectPoint } from '../../bundle/detections.js';
import type { Material } from '../../material.js';
import type { NetworkSpec } from '../../network/layers.js';
import { soundCopies } from '../fit/augment-sound.js';
import type { Classes, Examples, Lesson, TrainingFile } from '../types.js';
import { type Copies, checkNumbers, classIndex, pick, unfit, windowsOf } from './examples.js';
import { partLetters } from './row-split.js';
import { countOf, examplesOfRows, lessonsOfRows, piecesOfRows } from './rows.js';

/** Everything that determines to which part each example belongs. */
export interface Division {
  network: Pick<NetworkSpec, 'output'>;
  classes: Classes;
  signal: SignalSpec;
  split: Split;
  /** One letter per table row, or null for recordings. */
  parts: string | null;
  /** Altered copies of recordings to train on; absent = none. */
  copies?: Copies;
}

export function divisionOf({ network, classes, labels, signal, split, source }: TrainingFile): Division {
  const parts = source.kind === 'table' ? source.parts : null;
  return { network, classes: { names: classes, labels }, signal, split, parts };
}

/**
 * The examples of one part, inputs before standardization: windows of recordings in the dataset's order, or table rows in the file's order.
 * If a network learns the normal state, the training part omits examples labeled as anomalies.
 * @throws AIOT_TRAINING_DATA_UNFIT
 */
export function examplesOfPart(material: Material, division: Division, part: Part): Examples {
  const { network, split } = division;
  const { kind } = network.output;
  if (material.rows) return examplesOfRows(material.rows, truthOf(division), partOf(division, part));
  const all = examplesOfRecordings(material, division, split[part]);
  if (split.by !== 'window') return all;
  const places = placesByWindow(all.recordings, split, part);
  const normal = kind === 'reconstruction' && part !== 'test';
  return pick(all, normal ? places.filter((row) => all.classes[row] === 0) : places);
}

/**
 * The examples for training, and those for choosing the epoch.
 * @param train model.train of the project, see `forLearning`; absent = unmodified examples
 * @throws AIOT_TRAINING_DATA_UNFIT
 */
export function lessonsOf(
  material: Material,
  division: Division,
  train?: Learning,
): Record<'train' | 'validation', Lesson> {
  if (material.rows) {
    const { train, validation } = partLetters;
    const letters = [train, validation] as const;
    const lessons = lessonsOfRows(material.rows, truthOf(division), division.parts ?? '', letters);
    return { train: lessons[train]!, validation: lessons[validation]! };
  }
  return {
    train: examplesOfPart(material, train ? forLearning(material, division, train) : division, 'train'),
    validation: examplesOfPart(material, division, 'validation'),
  };
}

/** A part of the examples, for sequential processing. */
export interface PartPieces {
  /** Total number of examples in all chunks. */
  count: number;
  /**
   * A table yields a few thousand examples at a time, and is read again on each pass. Recordings yield all examples at once. @throws
   * AIOT_TRAINING_DATA_UNFIT
   */
  pieces(): Iterable<Examples>;
}

/** Like `examplesOfPart`, but in chunks. @throws AIOT_TRAINING_DATA_UNFIT */
export function piecesOfPart(material: Material, division: Division, part: Part): PartPieces {
  const { rows } = material;
  if (!rows) {
    const all = examplesOfPart(material, division, part);
    return { count: all.classes.length, pieces: () => [all] };
  }
  const own = partOf(division, part);
  return { count: countOf(own), pieces: () => piecesOfRows(rows, truthOf(division), own) };
}

export function truthOf({ network, classes }: Pick<Division, 'network' | 'classes'>) {
  return { classes, values: network.output.kind === 'value' };
}

function partOf({ parts }: Division, part: Part) {
  return { parts: parts ?? '', letter: partLetters[part] };
}

type Learning = Pick<ProjectConfig['model']['train'], 'stride' | 'seed' | 'augment'>;

/**
 * The division for training. Windows of recordings are closer together (model.train.stride) than the windows that devices evaluate, and
 * altered copies (model.train.augment.sound) follow each recording. The division is unchanged for a table, which has neither, and for a
 * split by window, which would put overlapping windows into different parts.
 */
export function forLearning({ rows }: Material, division: Division, train: Learning): Division {
  const { stride, augment, seed } = train;
  if ((stride === undefined && !augment.sound) || rows || division.split.by === 'window') return division;
  const { signal } = division;
  return {
    ...division,
    signal: { ...signal, strideSamples: stride ?? signal.strideSamples },
    ...(augment.sound && { copies: soundCopies(augment.sound, seed) }),
  };
}

/** All windows of these recordings. @throws AIOT_TRAINING_DATA_UNFIT */
export function examplesOfRecordings(
  { dataset }: Material,
  { network, classes, signal, copies }: Pick<Division, 'network' | 'classes' | 'signal' | 'copies'>,
  ids: Iterable<string>,
): Examples {
  const { kind } = network.output;
  const index = classIndex(classes);
  const wanted = new Set(ids);
  for (const recording of dataset.recordings) if (wanted.has(recording.id)) checkNumbers(recording);
  const wantedOf = (recording: Recording) => ({
    class: kind === 'value' ? 0 : (index.get(recording.label ?? '') ?? (kind === 'reconstruction' ? 0 : -1)),
    value: kind === 'value' ? numberOf(recording) : 0,
  });
  const all = windowsOf(dataset, wanted, signal, wantedOf, copies);
  if (kind !== 'objects') return kind === 'value' ? all : { ...all, values: null };
  const objects = objectsOf(dataset, index, all.recordings);
  return { ...all, classes: new Int32Array(all.classes.length), values: null, objects };
}

/** The centers of the objects in each picture. */
function objectsOf(dataset: Dataset, index: Map<string, number>, ids: readonly string[]): ObjectPoint[][] {
  const byId = new Map(dataset.recordings.map((recording) => [recording.id, recording]));
  return ids.map((id) =>
    (byId.get(id)?.boxes ?? []).flatMap((box) => {
      const own = index.get(box.label);
      return own === undefined ? [] : [{ class: own, ...centerOf(box) }];
    }),
  );
}

function numberOf({ id, label }: Recording): number {
  const value = label === null || label.trim() === '' ? Number.NaN : Number(label);
  if (Number.isFinite(value)) return value;
  throw unfit(
    `recording ${id}: expected a number as its label for regression (model.output: value), got ${label === null ? 'none' : `"${label}"`}`,
  );
}

/**
 * Indices of the windows that a split by window assigns to this part. Anomalies from a recording used only for testing stay in the test
 * part.
 */
function placesByWindow(recordings: string[], split: Split, part: Part): number[] {
  const trained = new Set(split.train);
  const places: number[] = [];
  let start = 0;
  while (start < recordings.length) {
    const id = recordings[start]!;
    let end = start;
    while (recordings[end] === id) end++;
    const parts = trained.has(id) ? windowParts(split, id, end - start) : null;
    for (let row = start; row < end; row++) {
      if ((parts?.[row - start] ?? 'test') === part) places.push(row);
    }
    start = end;
  }
  return places;
}
