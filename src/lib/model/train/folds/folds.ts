import { writeJsonAtomic } from '../../../core/index.js';
import { voteAll } from '../../bundle/vote.js';
import { confusionOf, metricsOf } from '../../evaluate/metrics.js';
import { buildFiles, modelName } from '../../files.js';
import type { Material } from '../../material.js';
import type { Answers } from '../answers.js';
import { pick } from '../examples.js';
import { configDigestOf } from '../lineage.js';
import { type Division, examplesOfRecordings, truthOf, withStride } from '../parts.js';
import type { Plan } from '../plan.js';
import { examplesOfRows } from '../rows/examples.js';
import type { TrainOptions } from '../train-project.js';
import { trainerOf } from '../trainer.js';
import type { Examples } from '../types.js';
import { foldFigures, pooledFigures } from './figures.js';
import { tInterval } from './t-interval.js';
import type { FoldsAsked, FoldsFile } from './types.js';
import { chosen, dealt, type Unit, unitsIn } from './units.js';

export interface FoldsOptions extends Omit<TrainOptions, 'folds'> {
  material: Material;
  plan: Plan;
  division: Division;
}

/**
 * Leaves each part out once: trains on the others (a fifth of which chooses the epoch), and tests on it. Writes build/folds.json.
 * @throws what training throws; what `signal` was aborted with, and then nothing is written
 */
export async function foldsOf(asked: FoldsAsked, options: FoldsOptions): Promise<FoldsFile> {
  const { project, material, plan, division } = options;
  const all = everything(material, division);
  const closer = withStride(material, division, project.config.model.train.stride);
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
    const tested = rowsOf(own);
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
    found.push({ groups, examples: tested.length, bestEpoch, ...figures });
  }
  const file = reportOf(all, answers, found, options, by);
  await writeJsonAtomic(buildFiles(project).folds, file);
  return file;
}

/** All examples that have a part in the split: those without a label have none. */
export function everything(material: Material, division: Division): Examples {
  if (material.rows) return examplesOfRows(material.rows, truthOf(division));
  const { train, validation, test } = division.split;
  return examplesOfRecordings(material, division, [...train, ...validation, ...test]);
}

export function rowsOf(units: Unit[]): number[] {
  return units.flatMap(({ rows }) => rows).sort((a, b) => a - b);
}

/** @param examples all there are, and those that are learned from, which may lie closer together */
async function tryFold(
  { all, learned: closer }: { all: Examples; learned: Examples },
  rest: Unit[],
  tested: number[],
  options: FoldsOptions,
) {
  const { project, plan, backend = 'auto', signal } = options;
  const { train } = project.config.model;
  const sides = chosen(rest, train.seed);
  const trained = rowsOf(sides.train);
  const parts = {
    train: learnedRows({ all, learned: closer }, trained),
    validation: pick(all, rowsOf(sides.validation)),
  };
  const learned = await trainerOf(train)(parts, {
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

/** What is learned from where these rows are trained on: they themselves, or the closer windows of their recordings. */
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
  const isVoted = vote !== 'none' && by !== 'window' && !material.rows && !all.values;
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
  const { accuracy, macroF1 } = metricsOf(truth, voteAll(classes, recordings, vote), count);
  return { accuracy, macroF1 };
}
