import { AiotError } from '../../core/errors.js';
import { writeJsonAtomic } from '../../core/files.js';
import { seededRandom, shuffled } from '../../core/numbers.js';
import { bootstrapInterval, macroF1Interval, proportionOf } from '../evaluate/intervals.js';
import { confusionOf, macroF1Of, metricsOf, valueFigures } from '../evaluate/metrics.js';
import { buildFiles, modelName } from '../files.js';
import type { Material } from '../material.js';
import { voteAll } from '../vote.js';
import { joinCopies, requireGroups } from './examples/divide.js';
import { pick } from './examples/examples.js';
import { type Division, examplesOfRecordings, forLearning, truthOf } from './examples/parts.js';
import { rowsOf, sameNames, sameRows } from './examples/row-split.js';
import { examplesOfRows } from './examples/rows.js';
import type { Answers } from './fit/loss.js';
import { trainerOf } from './learn-forest.js';
import { configDigestOf } from './lineage.js';
import type { Plan } from './plan.js';
import type { FoldsAsked, FoldsFile } from './result.js';
import type { TrainOptions } from './train-project.js';
import type { Examples } from './types.js';

interface FoldsOptions extends Omit<TrainOptions, 'folds'> {
  material: Material;
  plan: Plan;
  division: Division;
}

/**
 * Cross-validation: leaves out each part once, trains on the others (a fifth of which is used to choose the epoch), and tests on the
 * omitted part. Writes build/folds.json.
 * @throws any error of training; the abort reason of `signal`, in which case nothing is written
 */
export async function foldsOf(asked: FoldsAsked, options: FoldsOptions): Promise<FoldsFile> {
  const { project, material, plan, division } = options;
  if (plan.network.output.kind === 'objects')
    throw new AiotError(
      'AIOT_USAGE',
      '--folds compares classes or values, so it cannot be used with model.kind: fomo',
      {
        next: 'Train without folds; `aiot model evaluate` measures the model on unseen pictures.',
      },
    );
  const all = everything(material, division);
  const closer = forLearning(material, division, project.config.model.train);
  const learned = closer === division ? all : everything(material, closer);
  const each = 'leaveOneOut' in asked;
  const { split } = project.config.model;
  const by = each ? asked.leaveOneOut : split === 'time' ? 'recording' : split;
  const folds = dealt(unitsIn(all, material, by, each), asked, project.config.model.train.seed);
  const answers = emptyAnswers(all, plan);
  const found: FoldsFile['folds'] = [];
  for (const [f, own] of folds.entries()) {
    options.signal?.throwIfAborted();
    options.onStep?.(`fold ${f + 1} of ${folds.length}`);
    const rest = folds.flatMap((units, i) => (i === f ? [] : units));
    const tested = rowsOfUnits(own);
    const { bestEpoch, said } = await tryFold({ all, learned }, rest, tested, options);
    tested.forEach((row, i) => {
      if (said.classes.length > 0) answers.classes[row] = said.classes[i]!;
      if (said.values.length > 0) answers.values[row] = said.values[i]!;
    });
    const figures = foldFigures(pick(all, tested), said, plan.classes.names.length);
    const groups =
      material.rows && material.rows.table.groups === null
        ? []
        : [...new Set(own.flatMap((unit) => unit.groups))];
    const present = new Set(tested.map((row) => all.classes[row]!));
    const untested = all.values ? [] : plan.classes.names.filter((_name, c) => !present.has(c));
    found.push({ groups, examples: tested.length, untested, bestEpoch, ...figures });
  }
  const file = reportOf(all, answers, found, options, by);
  await writeJsonAtomic(buildFiles(project).folds, file);
  return file;
}

/** All examples of all parts of the split. None of them is unlabeled. */
function everything(material: Material, division: Division): Examples {
  if (material.rows) return examplesOfRows(material.rows, truthOf(division));
  const { train, validation, test } = division.split;
  return examplesOfRecordings(material, division, [...train, ...validation, ...test]);
}

export function rowsOfUnits(units: Unit[]): number[] {
  return units.flatMap(({ rows }) => rows).sort((a, b) => a - b);
}

/** @param examples `all` examples, and `learned`: the examples to train on, whose windows may be closer together */
async function tryFold(
  { all, learned: closer }: { all: Examples; learned: Examples },
  rest: Unit[],
  tested: number[],
  options: FoldsOptions,
) {
  const { project, plan, backend = 'auto', signal } = options;
  const { train } = project.config.model;
  const sides = chosen(rest, train.seed);
  const trained = rowsOfUnits(sides.train);
  const parts = {
    train: learnedRows({ all, learned: closer }, trained),
    validation: pick(all, rowsOfUnits(sides.validation)),
  };
  const learned = await trainerOf(train, plan.network.kind)(parts, {
    plan,
    train,
    backend,
    description: modelName(project),
    folder: project.dir,
    refit: true,
    signal,
  });
  try {
    if (learned.interrupted) throw signal?.reason;
    return { bestEpoch: learned.bestEpoch, said: learned.answers(pick(all, tested)) };
  } finally {
    learned.dispose();
  }
}

/** The training examples for these rows: the rows themselves, or the denser windows of their recordings. */
export function learnedRows(
  { all, learned }: { all: Examples; learned: Examples },
  rows: number[],
): Examples {
  if (learned === all) return pick(all, rows);
  const wanted = new Set(rows.map((row) => all.recordings[row]!));
  return pick(
    learned,
    learned.recordings.flatMap((id, row) => (wanted.has(id) ? [row] : [])),
  );
}

function emptyAnswers({ classes }: Examples, { network }: Plan): Answers {
  const valued = network.output.kind !== 'classes';
  return { classes: new Int32Array(classes.length), values: new Float64Array(valued ? classes.length : 0) };
}

function reportOf(
  all: Examples,
  answers: Answers,
  folds: FoldsFile['folds'],
  { project, material, plan }: FoldsOptions,
  by: string,
): FoldsFile {
  const { names } = plan.classes;
  const { vote } = project.config.model;
  // The outputs that an average needs are not retained over all folds.
  const isVoted = /^majority:/.test(vote) && by !== 'window' && !material.rows && !all.values;
  const groups = new Set(all.recordings).size;
  const pooled = pooledFigures(all, answers, names.length);
  const over = (key: 'accuracy' | 'macroF1' | 'rmse') =>
    tInterval(
      folds.flatMap((fold) => fold[key] ?? []),
      key === 'rmse' ? undefined : 1,
    );
  return {
    spec: 'aiot-folds/1',
    model: modelName(project),
    by: material.rows ? (material.rows.table.groups === null ? 'row' : 'group') : by,
    folds,
    mean: { accuracy: over('accuracy'), macroF1: over('macroF1'), rmse: over('rmse') },
    pooled,
    together: {
      folds: folds.length,
      windows: all.recordings.length,
      groups: groups === all.recordings.length ? null : groups,
      accuracy: pooled.accuracy?.value ?? null,
      interval: pooled.accuracy?.interval ?? null,
      macroF1: pooled.macroF1?.value ?? null,
      rmse: pooled.rmse?.value ?? null,
      voted: isVoted ? votedFigures(all, answers, vote, names.length) : null,
    },
    vote,
    method: methodOf(folds.length, all.values !== null),
    classes: names,
    confusion: all.values ? null : confusionOf(all.classes, answers.classes, names.length),
    datasetDigest: material.dataset.digest,
    configDigest: configDigestOf(project),
  };
}

function methodOf(folds: number, isValue: boolean): string {
  const drawn = `bootstrap over ${isValue ? '' : 'recordings or groups of rows '}(at most 1000 draws)`;
  const pooled = isValue
    ? drawn
    : `accuracy by Wilson's interval with a design effect, macro-F1 by a ${drawn}`;
  return `95 %; mean: Student's t over ${folds} folds; pooled: ${pooled}`;
}

function votedFigures(
  { classes: truth, recordings }: Examples,
  { classes }: Answers,
  vote: string,
  count: number,
) {
  const voted = voteAll(recordings, (row) => ({ index: classes[row]!, scores: [] }), {
    vote,
    answer: { kind: 'classes' },
  });
  const { accuracy, macroF1 } = metricsOf(truth, voted, count);
  return { accuracy, macroF1 };
}

/** A unit of examples that stay together: the examples' indices, and the unit's name. */
export interface Unit {
  groups: string[];
  rows: number[];
  class: number;
}

/**
 * Units of examples that a split must not separate. A unit contains the examples of one recording (with its copies), of one device, or of
 * one table group, or equal rows in a table without groups. In a split by window, each example is a separate unit.
 * @throws AIOT_DATA_NO_DEVICE, AIOT_USAGE (rows without groups, each of which would be a separate fold)
 */
export function unitsIn(
  all: Examples,
  material: Material,
  by: 'recording' | 'device' | 'window',
  each: boolean,
): Unit[] {
  const { dataset, rows } = material;
  if (by === 'window') return all.recordings.map((group, row) => unit([group], [row], all));
  if (rows) {
    const { groups } = rows.table;
    if (each) requireGroups(material, 'Add such a column, or measure by folds: --folds 5');
    const found = rowsOf(groups === null ? sameRows(all.inputs, all.inputSize) : sameNames(all.recordings));
    return found.map((own) => unit([...new Set(own.map((row) => all.recordings[row]!))], own, all));
  }
  const keyOf = new Map(
    dataset.recordings.map(({ id, device }) => {
      if (by === 'recording') return [id, id] as const;
      if (device !== null) return [id, device] as const;
      throw new AiotError('AIOT_DATA_NO_DEVICE', `recording ${id} names no device to leave out`);
    }),
  );
  const ids = [...new Set(all.recordings)];
  const byKey = new Map<string, string[]>();
  for (const id of ids) byKey.set(keyOf.get(id)!, [...(byKey.get(keyOf.get(id)!) ?? []), id]);
  return joinCopies([...byKey.values()], dataset).map((own) => {
    const wanted = new Set(own);
    const places = all.recordings.flatMap((id, row) => (wanted.has(id) ? [row] : []));
    return unit([...new Set(own.map((id) => keyOf.get(id)!))], places, all);
  });
}

function unit(groups: string[], rows: number[], { classes }: Examples): Unit {
  const counts = new Map<number, number>();
  for (const row of rows) counts.set(classes[row]!, (counts.get(classes[row]!) ?? 0) + 1);
  const [first] = [...counts].sort(([a, m], [b, n]) => n - m || a - b);
  return { groups, rows, class: first?.[0] ?? 0 };
}

/**
 * Units to test on, fold by fold: each unit alone, or K parts with roughly equal shares of each class.
 * @throws AIOT_DATA_TOO_FEW
 */
export function dealt(units: Unit[], asked: FoldsAsked, seed: number): Unit[][] {
  const least = 'folds' in asked ? asked.folds : 2;
  if (units.length < least) {
    throw new AiotError(
      'AIOT_DATA_TOO_FEW',
      `expected at least ${least} independent recordings, devices or groups for cross-validation, got ${units.length}; copies count as one`,
      { next: 'Use fewer --folds, or record more.' },
    );
  }
  if (!('folds' in asked)) return units.map((own) => [own]);
  const folds = Array.from({ length: asked.folds }, () => [] as Unit[]);
  const random = seededRandom(seed);
  let next = 0;
  for (const c of [...new Set(units.map((own) => own.class))].sort((a, b) => a - b)) {
    const own = units.filter((each) => each.class === c);
    for (const each of shuffled(own, random)) folds[next++ % asked.folds]!.push(each);
  }
  return folds;
}

/** Assigns about a fifth of each class in the remaining units to choosing the epoch, and the rest to training. */
export function chosen(rest: Unit[], seed: number): { train: Unit[]; validation: Unit[] } {
  const random = seededRandom(seed);
  const train: Unit[] = [];
  const validation: Unit[] = [];
  for (const c of [...new Set(rest.map((own) => own.class))].sort((a, b) => a - b)) {
    const own = shuffled(
      rest.filter((each) => each.class === c),
      random,
    );
    const count = own.length < 2 ? 0 : Math.max(1, Math.floor(own.length / 5));
    validation.push(...own.slice(0, count));
    train.push(...own.slice(count));
  }
  return { train, validation };
}

interface FoldFigures {
  accuracy: number | null;
  macroF1: number | null;
  rmse: number | null;
}

/** Metrics of predictions for examples. Macro-F1 is included only if the examples belong to more than one class. */
export function foldFigures(
  truth: Pick<Examples, 'classes' | 'values'>,
  answers: Answers,
  classes: number,
): FoldFigures {
  if (truth.values)
    return { accuracy: null, macroF1: null, rmse: valueFigures(truth.values, answers.values).rmse };
  const { accuracy, macroF1 } = metricsOf(truth.classes, answers.classes, classes);
  return { accuracy, macroF1: new Set(truth.classes).size > 1 ? macroF1 : null, rmse: null };
}

interface Pooled {
  value: number;
  interval: [number, number] | null;
}

/**
 * Like `foldFigures`, but over all tested examples together. The accuracy's interval comes from `proportionOf`; the other intervals come
 * from resampling groups.
 */
function pooledFigures(
  truth: Pick<Examples, 'classes' | 'values' | 'recordings'>,
  answers: Answers,
  classes: number,
): Record<keyof FoldFigures, Pooled | null> {
  const groups = truth.recordings;
  const { accuracy, macroF1, rmse } = foldFigures(truth, answers, classes);
  const rows = groups.length;
  const confusion = (weights?: Float64Array) => confusionOf(truth.classes, answers.classes, classes, weights);
  const share = proportionOf(rows, (row) => truth.classes[row] === answers.classes[row], groups);
  const f1 = () => macroF1Interval(rows, { groups, accuracy: share }, confusion, macroF1Of);
  const error = (weights: Float64Array) => valueFigures(truth.values!, answers.values, weights).rmse;
  return {
    accuracy: accuracy === null ? null : { value: accuracy, interval: share.interval },
    macroF1: macroF1 === null ? null : { value: macroF1, interval: f1() },
    rmse: rmse === null ? null : { value: rmse, interval: bootstrapInterval(rows, groups, error) },
  };
}

/** 97.5 % quantiles of Student's t for 1 to 10 degrees of freedom. */
const quantiles = [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622, 2.2281];

/**
 * The 97.5 % quantile of Student's t. Above ten degrees of freedom, Fisher's expansion (Abramowitz and Stegun, 26.7.5) is accurate to 1e-4.
 */
export function tQuantile(freedom: number): number {
  const known = quantiles[freedom - 1];
  if (known !== undefined) return known;
  const z = 1.959964;
  const v = freedom;
  return (
    z +
    (z ** 3 + z) / (4 * v) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * v ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * v ** 3)
  );
}

/**
 * Mean of independent metrics, with a 95 % interval: mean ± t · deviation / √n. Folds share training data, so the true interval is slightly
 * wider (Bengio and Grandvalet, JMLR 5, 2004). Null without metrics; no interval for a single metric.
 * @param most upper bound for the metrics, such as 1 for a share; the lower bound is 0
 */
export function tInterval(
  values: number[],
  most = Number.POSITIVE_INFINITY,
): { mean: number; interval: [number, number] | null } | null {
  const n = values.length;
  if (n === 0) return null;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n === 1) return { mean, interval: null };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  const half = tQuantile(n - 1) * Math.sqrt(variance / n);
  return { mean, interval: [Math.max(0, mean - half), Math.min(most, mean + half)] };
}
