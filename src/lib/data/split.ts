import { AiotError } from '../core/errors.js';
import { type Random, seededRandom, shuffled } from '../core/numbers.js';
import type { ProjectConfig } from '../core/project-schema.js';
import { copiesIn } from './copies/copies.js';
import { type Part, partSizes } from './parts.js';
import type { Dataset, ObjectBox, Recording, Split } from './types.js';

/**
 * Divides the labeled recordings into about 60 % for training, 15 % for validation and 25 % for testing. Recordings are never divided, and
 * copies of each other stay together. By recording: at random within each class and recorded label. By device: no device is on two sides.
 * By time: the newest recordings of each class are for testing. By window (only to show how optimistic that is): each recording is on all
 * sides, and `windowParts` divides its windows.
 * @throws AIOT_LABEL_UNKNOWN (a label in no class), AIOT_DATA_ONE_CLASS, AIOT_DATA_TOO_FEW (a class with fewer than three independent
 * recordings), AIOT_DATA_NO_DEVICE, AIOT_DATA_NO_TIME
 */
export function splitDataset(
  dataset: Dataset,
  model: Pick<ProjectConfig['model'], 'labels' | 'split' | 'train'> &
    Partial<Pick<ProjectConfig['model'], 'reject' | 'kind'>>,
): Split {
  if (model.kind === 'fomo') return splitObjects(dataset, model);
  const classes = classesOf(dataset, model.labels);
  refuseUnknownLabels(dataset, classes, model);
  const byId = new Map(dataset.recordings.map((recording) => [recording.id, recording]));
  const labelled = [...classes.keys()];
  const names = [...new Set(classes.values())];
  if (names.length < 2) {
    throw new AiotError(
      'AIOT_DATA_ONE_CLASS',
      `expected recordings of at least two classes, got ${names[0] ?? 'none'}`,
    );
  }
  if (model.split === 'window') {
    const all = labelled.sort();
    return { by: 'window', seed: model.train.seed, train: all, validation: all, test: all };
  }
  const pairs = copiesIn(dataset).filter(({ a, b }) => classes.has(a) && classes.has(b));
  const random = seededRandom(model.train.seed);
  const { split: by } = model;
  const parts =
    by === 'device'
      ? splitByDevice(labelled, pairs, byId, classes, random)
      : splitByClass(groupsOf(labelled, pairs), byId, classes, by === 'time' ? null : random);
  const idsOf = (part: Part) => labelled.filter((id) => parts.get(id) === part).sort();
  return {
    by,
    seed: model.train.seed,
    train: idsOf('train'),
    validation: idsOf('validation'),
    test: idsOf('test'),
  };
}

/**
 * Divides annotated pictures into the three parts. Copies of each other stay together. Pictures without objects are
 * included. A random division is redrawn until each class with enough pictures is on each side.
 */
function splitObjects(
  dataset: Dataset,
  { labels, split: by, train }: Pick<ProjectConfig['model'], 'labels' | 'split' | 'train'>,
): Split {
  const classOf = classNames(labels);
  const annotated = dataset.recordings.filter(({ boxes }) => boxes !== undefined);
  const byId = new Map(annotated.map((recording) => [recording.id, recording]));
  const classes = new Map(annotated.map(({ id, boxes = [] }) => [id, classesIn(id, boxes, classOf)]));
  const names = [...new Set([...classes.values()].flatMap((own) => [...own]))];
  if (names.length === 0) {
    throw new AiotError('AIOT_DATA_EMPTY', 'expected pictures with boxes, got none', {
      next: 'Import annotated pictures with `aiot data import ANNOTATIONS --pictures FOLDER`, or draw some with `aiot data synthesize`.',
    });
  }
  const ids = [...byId.keys()];
  const pairs = copiesIn(dataset).filter(({ a, b }) => byId.has(a) && byId.has(b));
  const groups = groupsOf(ids, by === 'device' ? [...pairs, ...deviceMates(ids, byId)] : pairs);
  for (const name of names) {
    const own = groups.filter((group) => group.some((id) => classes.get(id)!.has(name)));
    if (own.length < 3) throw tooFew(name, own.length, by === 'device' ? 'device' : 'picture');
  }
  const random = seededRandom(train.seed);
  for (let draw = 0; draw < 100; draw++) {
    const parts = new Map<string, Part>();
    assign(by === 'time' ? inTime(groups, byId) : shuffled(groups, random), parts);
    const sides = new Set(
      ids.flatMap((id) => [...classes.get(id)!].map((name) => `${parts.get(id)} ${name}`)),
    );
    if (sides.size < 3 * names.length && by !== 'time') continue;
    const idsOf = (part: Part) => ids.filter((id) => parts.get(id) === part).sort();
    return {
      by,
      seed: train.seed,
      train: idsOf('train'),
      validation: idsOf('validation'),
      test: idsOf('test'),
    };
  }
  throw tooFewForAll(groups.length, by === 'device' ? 'device' : 'picture');
}

/** @throws AIOT_LABEL_UNKNOWN */
function classesIn(id: string, boxes: readonly ObjectBox[], classOf: Map<string, string>): Set<string> {
  return new Set(
    boxes.map(({ label }, i) => {
      const name = classOf.get(label);
      if (name !== undefined) return name;
      throw new AiotError(
        'AIOT_LABEL_UNKNOWN',
        `recording ${id}, box ${i + 1}: expected a label of model.labels (${[...classOf.keys()].join(', ')}), got "${label}"`,
      );
    }),
  );
}

/** Pairs that connect the pictures of each device. @throws AIOT_DATA_NO_DEVICE */
function deviceMates(ids: readonly string[], byId: Map<string, Recording>): { a: string; b: string }[] {
  const firstOf = new Map<string, string>();
  return ids.flatMap((id) => {
    const device = deviceOf(byId.get(id)!);
    const first = firstOf.get(device);
    if (first !== undefined) return [{ a: first, b: id }];
    firstOf.set(device, id);
    return [];
  });
}

function deviceOf({ id, device }: Recording): string {
  if (device !== null) return device;
  throw new AiotError('AIOT_DATA_NO_DEVICE', `model.split is "device", but recording ${id} names no device`);
}

function refuseUnknownLabels(
  dataset: Dataset,
  classes: Map<string, string>,
  {
    labels,
    reject,
  }: Pick<ProjectConfig['model'], 'labels'> & Partial<Pick<ProjectConfig['model'], 'reject'>>,
): void {
  const stray = dataset.recordings.find(
    ({ id, label }) => label !== null && !classes.has(id) && !reject?.unknown.includes(label),
  );
  if (!stray) return;
  const known = Object.values(labels).flat().join(', ');
  throw new AiotError(
    'AIOT_LABEL_UNKNOWN',
    `recording ${stray.id}: expected a label of model.labels (${known}), got "${stray.label}"`,
  );
}

function assign(groups: string[][], parts: Map<string, Part>): void {
  const { validation, test } = partSizes(groups.length);
  groups.forEach((group, i) => {
    const fromEnd = groups.length - 1 - i;
    const part = fromEnd < test ? 'test' : fromEnd < test + validation ? 'validation' : 'train';
    for (const id of group) parts.set(id, part);
  });
}

/** Splits at random if `random` is given, by time otherwise. */
function splitByClass(
  groups: string[][],
  byId: Map<string, Recording>,
  classes: Map<string, string>,
  random: Random | null,
): Map<string, Part> {
  const parts = new Map<string, Part>();
  const sorted = random ? shuffled(groups, random) : inTime(groups, byId);
  for (const name of [...new Set(classes.values())].sort()) {
    const own = sorted.filter(([id = '']) => classes.get(id) === name);
    if (own.length < 3) throw tooFew(name, own.length, 'recording');
    const labels = [...new Set(own.map(([id = '']) => byId.get(id)!.label))].sort();
    const strata = labels.map((label) => own.filter(([id = '']) => byId.get(id)!.label === label));
    // If one label is too rare to be on every side, the recordings of the whole class are assigned together.
    const apart = strata.every((stratum) => stratum.length >= 3) ? strata : [own];
    for (const stratum of apart) assign(stratum, parts);
  }
  return parts;
}

function inTime(groups: string[][], byId: Map<string, Recording>): string[][] {
  const startOf = (group: string[]) => Math.min(...group.map((id) => startedAt(byId.get(id)!)));
  return [...groups].sort((a, b) => startOf(a) - startOf(b));
}

function startedAt({ id, startedAt: at }: Recording): number {
  if (at !== null) return at;
  throw new AiotError('AIOT_DATA_NO_TIME', `model.split is "time", but recording ${id} has no start time`);
}

/** Assigns whole devices at random until each class is on each side. After a hundred failed attempts, a solution is unlikely. */
function splitByDevice(
  ids: string[],
  copies: { a: string; b: string }[],
  byId: Map<string, Recording>,
  classes: Map<string, string>,
  random: Random,
): Map<string, Part> {
  const groups = groupsOf(ids, [...copies, ...deviceMates(ids, byId)]);
  const names = new Set(classes.values());
  if (groups.length < 3) throw tooFewForAll(groups.length, 'device');
  for (let draw = 0; draw < 100; draw++) {
    const parts = new Map<string, Part>();
    assign(shuffled(groups, random), parts);
    const sides = new Set([...parts].map(([id, part]) => `${part} ${classes.get(id)}`));
    if (sides.size === 3 * names.size) return parts;
  }
  throw tooFewForAll(groups.length, 'device');
}

function tooFew(name: string, count: number, noun: string): AiotError {
  return new AiotError(
    'AIOT_DATA_TOO_FEW',
    `class ${name}: expected at least 3 independent ${noun}s for training, validation and testing, got ${count}; copies count as one`,
  );
}

/** The error if no split has every class in each of its sets. */
function tooFewForAll(count: number, noun: string): AiotError {
  return new AiotError(
    'AIOT_DATA_TOO_FEW',
    `expected enough independent ${noun}s for training, validation and testing to each contain every class, got ${count}`,
  );
}

/** Sets of IDs that are connected by pairs; an ID without a pair forms a separate set. The order of first appearance is preserved. */
function groupsOf(ids: string[], pairs: { a: string; b: string }[]): string[][] {
  const parent = new Map(ids.map((id) => [id, id]));
  const rootOf = (id: string): string => {
    let at = id;
    while (parent.get(at) !== at) at = parent.get(at)!;
    return at;
  };
  for (const { a, b } of pairs) parent.set(rootOf(b), rootOf(a));
  const groups = new Map<string, string[]>();
  for (const id of ids) {
    const root = rootOf(id);
    const group = groups.get(root);
    if (group) group.push(id);
    else groups.set(root, [id]);
  }
  return [...groups.values()];
}

/** Class of each labeled recording, by ID. */
function classesOf(dataset: Dataset, labels: Record<string, string[]>): Map<string, string> {
  const classOf = classNames(labels);
  const out = new Map<string, string>();
  for (const { id, label } of dataset.recordings) {
    const name = label === null ? undefined : classOf.get(label);
    if (name !== undefined) out.set(id, name);
  }
  return out;
}

/** Class of each label. */
function classNames(labels: Record<string, string[]>): Map<string, string> {
  return new Map(
    Object.entries(labels).flatMap(([name, list]) => list.map((label) => [label, name] as const)),
  );
}
