import { AiotError } from '../../core/errors.js';
import { bytesOf } from '../../core/figures.js';
import { writeJsonAtomic } from '../../core/files.js';
import { newId } from '../../core/names.js';
import { type Random, seededRandom } from '../../core/numbers.js';
import { type Overrides, overrideProject, type Project } from '../../core/project.js';
import { isSoundSet, type ProjectConfig } from '../../core/project-schema.js';
import type { Graph } from '../../formats/tflite/graph.js';
import { writeTflite } from '../../formats/tflite/write.js';
import { arenaBytes } from '../../runtime/arena.js';
import { signalSpecOf } from '../../signal/spec.js';
import type { Backend } from '../engine/types.js';
import { buildFiles, modelName } from '../files.js';
import { chips } from '../fit/chips.js';
import { layerCycles } from '../fit/kernels.js';
import { graphMacs } from '../inspect/costs.js';
import { type Material, openMaterial } from '../material.js';
import { defaultLayers, type NetworkKind } from '../network/layers.js';
import { prepareGraph, quantizePrepared } from '../quantize/graph/quantize-graph.js';
import { type InnerFolds, metricsOfTrial, RunRecorder } from '../runs/recorder.js';
import { divide, leaksOf } from './examples/divide.js';
import { pick } from './examples/examples.js';
import { type Division, examplesOfPart, forLearning } from './examples/parts.js';
import { standardizeInPlace } from './examples/standardize.js';
import {
  chosen,
  dealt,
  foldFigures,
  learnedRows,
  rowsOfUnits,
  tInterval,
  type Unit,
  unitsIn,
} from './folds.js';
import { learn } from './learn.js';
import { type Plan, planTraining } from './plan.js';
import type { Candidate, SearchFile } from './result.js';
import type { TrainOptions } from './train-project.js';
import type { Examples } from './types.js';

interface SearchOptions extends Omit<TrainOptions, 'folds' | 'resume' | 'onEpoch'> {
  /** Number of candidates to try, including aiot.yaml's own. */
  count: number;
}

/** Number of draws that may repeat earlier ones, or be impossible, before the space counts as exhausted. */
const patience = 50;

/**
 * Tries randomly drawn networks and signal parts (seeded), each measured by inner folds over the training and validation sets; the test set
 * is never used. Writes build/search.json even if `signal` stopped it, with the candidates tried so far.
 * @throws AIOT_USAGE (no classes or values to predict), AIOT_INTERRUPTED, and any error of training
 */
export async function searchProject(options: SearchOptions): Promise<SearchFile> {
  const { project, backend = 'auto', signal } = options;
  const started = performance.now();
  const { model } = project.config;
  const material = await openMaterial(project, options);
  const plan = planTraining(project, material, options.kind);
  const { kind } = plan.network.output;
  const { kind: own } = model;
  if (
    kind === 'reconstruction' ||
    kind === 'objects' ||
    model.train.command ||
    model.train.from ||
    own === 'layers' ||
    own === 'forest'
  ) {
    const what = model.train.command
      ? 'a training program'
      : model.train.from
        ? 'model.train.from'
        : `model.kind ${own}`;
    throw new AiotError(
      'AIOT_USAGE',
      `--search compares mlp, cnn1d, ds-cnn and mobilenet by accuracy, so it cannot be used for ${what}`,
    );
  }
  const division = divide(project, material, plan, options.split);
  const leaks = leaksOf(material, division, options.force);
  const file = buildFiles(project).search;
  const choices = choicesOf(options, material.rows !== null, plan.network.kind);
  const tried: Omit<Candidate, 'pareto'>[] = [];
  const search = newId('se');
  const runs: string[] = [];
  const score = kind === 'value' ? 'rmse' : 'macroF1';
  let stopped: unknown;
  for (const [i, choice] of choices.entries()) {
    options.onStep?.(`candidate ${i + 1} of ${choices.length}: ${shown(choice)}`);
    try {
      signal?.throwIfAborted();
      const asked = { project, material, division, backend, signal };
      const recorder = options.record ? await beginTrial(choice, asked, { leaks, search }) : null;
      tried.push(await recordedTrial(choice, asked, recorder, score));
      if (recorder) runs.push(recorder.run);
    } catch (error) {
      if (!signal?.aborted) throw error;
      stopped = error;
      break;
    }
  }
  if (tried.length === 0) throw stopped;
  const lowIsGood = kind === 'value';
  const front = paretoFront(tried, lowIsGood);
  const candidates = tried.map((each, i) => ({ ...each, pareto: front[i]! }));
  const best = bestOf(candidates, lowIsGood);
  const result: SearchFile = {
    spec: 'aiot-search/1',
    model: modelName(project),
    score,
    folds: innerFolds,
    chip: searchChip,
    seed: model.train.seed,
    candidates,
    best,
    yaml: best === null ? [] : yamlOf(candidates[best]!),
    interrupted: stopped !== undefined,
    datasetDigest: material.dataset.digest,
    runs,
    seconds: Math.round(performance.now() - started) / 1000,
    file,
  };
  await writeJsonAtomic(file, result);
  if (stopped === undefined) return result;
  throw new AiotError(
    'AIOT_INTERRUPTED',
    `stopped after ${tried.length} of ${choices.length} candidates; their results are in ${file}`,
  );
}

/** The candidates: first the configuration in aiot.yaml, then random draws, without duplicates. */
function choicesOf({ project, count, kind }: SearchOptions, rows: boolean, own: Choice['kind']): Choice[] {
  const { model, signal } = project.config;
  const { features, window, stride } = signal;
  const layers = (model.layers as number[] | undefined) ?? [...defaultLayers[own as 'mlp']];
  const first: Choice = { kind: own, layers, ...(rows ? {} : { signal: { features, window, stride } }) };
  const known = new Set([JSON.stringify(first)]);
  const choices = [first];
  const space = spaceOf(project, rows, rows ? 'mlp' : kind);
  const random = seededRandom(model.train.seed);
  for (let misses = 0; choices.length < count && misses < patience; ) {
    const choice = drawn(project, space, random);
    const key = JSON.stringify(choice);
    if (known.has(key) || !fits(project, choice)) misses++;
    else choices.push(choice);
    known.add(key);
  }
  return choices;
}

/** Whether the candidate's window and features are compatible. */
function fits(project: Project, choice: Choice): boolean {
  try {
    if (choice.signal) signalSpecOf(overrideProject(project, overridesOf(choice)).config);
    return true;
  } catch (error) {
    if (error instanceof AiotError) return false;
    throw error;
  }
}

function shown({ kind, layers, signal }: Choice): string {
  const set =
    signal && (Array.isArray(signal.features) ? `${signal.features.length} features` : signal.features);
  return `${kind} ${layers.join('-')}${signal ? `, ${set}, window ${signal.window}` : ''}`;
}

/** The candidate as lines for aiot.yaml. */
function yamlOf({ kind, layers, features, window, stride }: Candidate): string[] {
  const list = (items: readonly (string | number)[]) => `[${items.join(', ')}]`;
  const signal =
    features === null
      ? []
      : [
          'signal:',
          `  window: ${window}`,
          `  stride: ${stride}`,
          `  features: ${typeof features === 'string' ? features : list(features)}`,
        ];
  return [...signal, 'model:', `  kind: ${kind}`, `  layers: ${list(layers)}`];
}

/** One network and signal part to try. */
interface Choice {
  kind: NetworkKind;
  layers: number[];
  /** Undefined for table rows. */
  signal?: Pick<ProjectConfig['signal'], 'features' | 'window' | 'stride'>;
}

const units = [8, 12, 16, 24, 32, 48, 64];
const filters = [8, 12, 16, 24, 32];

/** Window lengths as multiples of the length in aiot.yaml. */
const windowShares = [0.5, 0.75, 1, 1, 1.5];

interface Space {
  /** The requested kind of network; undefined = any kind. */
  kind: NetworkKind | undefined;
  /** Feature sets that suit the fields, including the project's own; empty for table rows. */
  features: ProjectConfig['signal']['features'][];
  /** Kinds of convolutions that suit a spectrogram or a picture, whose signal part is never varied. */
  kinds?: NetworkKind[];
}

/** The search space, with feature sets worth trying for these fields. */
export function spaceOf({ config }: Project, rows: boolean, kind: NetworkKind | undefined): Space {
  if (rows) return { kind, features: [] };
  const own = config.signal.features;
  if (isSoundSet(own)) return { kind, features: [], kinds: ['cnn1d', 'ds-cnn'] };
  if (own === 'image') return { kind, features: [], kinds: ['ds-cnn', 'mobilenet'] };
  const three = Object.keys(config.stream.fields).length === 3;
  const named = (
    three ? ['raw', 'motion', 'spectral', 'har'] : ['raw', 'spectral']
  ) as ProjectConfig['signal']['features'][];
  const dense = kind === 'mlp';
  const open = named.filter((set) => (kind === undefined ? true : dense ? set !== 'raw' : set === 'raw'));
  const features =
    open.some((set) => set === own) || (kind !== undefined && !dense && own !== 'raw')
      ? open
      : [own, ...open];
  return { kind, features };
}

/** Draws one candidate; the same random numbers yield the same candidate. */
export function drawn(project: Project, space: Space, random: Random): Choice {
  const of = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const { window, stride } = project.config.signal;
  const set = space.features.length > 0 ? of(space.features) : undefined;
  const share = of(windowShares);
  const scaled = Math.max(2, Math.round(window * share));
  const signal = set && { features: set, window: scaled, stride: Math.max(1, Math.round(stride * share)) };
  const kind =
    space.kind ?? (space.kinds ? of(space.kinds) : set === 'raw' ? of(['cnn1d', 'ds-cnn'] as const) : 'mlp');
  const dense = kind === 'mlp';
  const depth = dense ? 1 + Math.floor(random() * 3) : 2 + Math.floor(random() * 2);
  const sizes = Array.from({ length: depth }, () => of(dense ? units : filters));
  // Dense layers get narrower, convolutions wider.
  sizes.sort((a, b) => (dense ? b - a : a - b));
  return { kind, layers: sizes, ...(signal && { signal }) };
}

function overridesOf({ kind, layers, signal }: Choice): Overrides {
  // Several members can be joined if all layers are dense.
  const alone = kind === 'mlp' ? {} : { train: { members: 1 } };
  return { model: { kind, layers }, ...alone, ...(signal && { signal }) };
}

/** Number of inner folds that measure a candidate. */
const innerFolds = 3;

/** The chip for which latency is predicted. Other chips are faster or slower by a similar factor for every network. */
const searchChip = 'esp32s3';

/** Number of examples for calibrating int8 ranges. Sizes do not depend on these ranges. */
const calibrationRows = 50;

interface TryOptions {
  project: Project;
  material: Material;
  division: Division;
  backend: Backend;
  signal?: AbortSignal;
}

/**
 * Trains one candidate on inner folds of the training and validation sets; the test set is never used. A candidate that cannot be trained
 * (a window longer than a recording, an unsuitable feature set) is reported with the reason.
 */
async function tryCandidate(choice: Choice, options: TryOptions): Promise<Tried> {
  const { signal } = choice;
  const named = {
    kind: choice.kind,
    layers: choice.layers,
    features: signal?.features ?? null,
    window: signal?.window ?? null,
    stride: signal?.stride ?? null,
  };
  try {
    const { inner, ...own } = await measured(choice, options);
    return { candidate: { ...named, ...own }, folds: inner, error: null };
  } catch (error) {
    if (options.signal?.aborted || !(error instanceof AiotError)) throw error;
    const none = {
      score: null,
      interval: null,
      accuracy: null,
      arenaBytes: null,
      bytes: null,
      macs: null,
      latencyUs: null,
    };
    const { code, message } = error;
    return { candidate: { ...named, ...none, refused: [message] }, folds: null, error: { code, message } };
  }
}

/** A candidate with its metrics, or the reason why it could not be trained. */
interface Tried {
  candidate: Omit<Candidate, 'pareto'>;
  folds: (InnerFolds & { backend: string }) | null;
  error: { code: string; message: string } | null;
}

/** Begins a candidate's record. For an impossible combination of settings, records the settings in aiot.yaml, and finally the reason. */
async function beginTrial(
  choice: Choice,
  { project: given, material, division }: TryOptions,
  { leaks, search }: { leaks: string[]; search: string },
): Promise<RunRecorder> {
  let project = given;
  try {
    project = overrideProject(given, overridesOf(choice));
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
  }
  return await RunRecorder.begin({ project, material, division, plan: null, leaks, search });
}

async function recordedTrial(
  choice: Choice,
  options: TryOptions,
  recorder: RunRecorder | null,
  score: SearchFile['score'],
): Promise<Tried['candidate']> {
  try {
    const { candidate, folds, error } = await tryCandidate(choice, options);
    await recorder?.end({
      state: error === null ? 'done' : 'failed',
      metrics: metricsOfTrial(candidate, score, folds),
      backend: folds?.backend ?? null,
      error,
      refused: error === null ? candidate.refused : [],
    });
    return candidate;
  } catch (error) {
    await recorder?.fail(error, options.signal?.aborted === true);
    throw error;
  }
}

async function measured(choice: Choice, { project: given, material, division, backend, signal }: TryOptions) {
  const project = overrideProject(given, overridesOf(choice));
  const { model } = project.config;
  const plan = planTraining(project, material, choice.kind);
  const own = { ...division, signal: plan.signal };
  const all = bothParts(material, own);
  const closer = forLearning(material, own, model.train);
  const learnedFrom = closer === own ? all : bothParts(material, closer);
  const by = model.split === 'device' || model.split === 'window' ? model.split : 'recording';
  const folds = dealt(unitsIn(all, material, by, false), { folds: innerFolds }, model.train.seed);
  const found: InnerFolds = { score: [], accuracy: [] };
  let engine = '';
  let costs: ReturnType<typeof costsOf> | undefined;
  for (const [f, tested] of folds.entries()) {
    signal?.throwIfAborted();
    const rest = folds.flatMap((units, i) => (i === f ? [] : units));
    const {
      figures,
      graph,
      inputs,
      backend: used,
    } = await tryFold({ all, learned: learnedFrom }, rest, rowsOfUnits(tested), {
      project,
      plan,
      backend,
      signal,
    });
    found.score.push(figures.macroF1 ?? figures.rmse);
    found.accuracy.push(figures.accuracy);
    engine = used;
    costs ??= costsOf(graph, inputs);
  }
  const most = plan.network.output.kind === 'value' ? undefined : 1;
  const scores = tInterval(
    found.score.flatMap((score) => score ?? []),
    most,
  );
  const accuracy = tInterval(found.accuracy.flatMap((each) => each ?? []))?.mean ?? null;
  const sized = { score: scores?.mean ?? null, interval: scores?.interval ?? null, accuracy, ...costs! };
  return { ...sized, refused: refusals(sized, model.accept, plan), inner: { ...found, backend: engine } };
}

/** Examples from the training and validation sets together. */
function bothParts(material: Material, division: Division): Examples {
  const parts = (['train', 'validation'] as const).map((part) => examplesOfPart(material, division, part));
  const [a, b] = parts as [Examples, Examples];
  const inputs = new Float32Array(a.inputs.length + b.inputs.length);
  inputs.set(a.inputs);
  inputs.set(b.inputs, a.inputs.length);
  return {
    inputs,
    inputSize: a.inputSize,
    classes: Int32Array.from([...a.classes, ...b.classes]),
    values: a.values && b.values && Float32Array.from([...a.values, ...b.values]),
    recordings: [...a.recordings, ...b.recordings],
  };
}

async function tryFold(
  { all, learned: closer }: { all: Examples; learned: Examples },
  rest: Unit[],
  tested: number[],
  { project, plan, backend, signal }: Pick<TryOptions, 'project' | 'backend' | 'signal'> & { plan: Plan },
) {
  const { train } = project.config.model;
  const sides = chosen(rest, train.seed);
  const parts = {
    train: learnedRows({ all, learned: closer }, rowsOfUnits(sides.train)),
    validation: pick(all, rowsOfUnits(sides.validation)),
  };
  const learned = await learn(parts, { plan, train, backend, description: '', folder: project.dir, signal });
  try {
    if (learned.interrupted) throw signal?.reason;
    const truth = pick(all, tested);
    const sample = pick(all, tested.slice(0, calibrationRows));
    const inputs = standardizeInPlace(sample, learned.standardization);
    const figures = foldFigures(truth, learned.answers(truth), plan.classes.names.length);
    return { figures, graph: learned.graph, inputs, backend: learned.backend };
  } finally {
    learned.dispose();
  }
}

function costsOf(graph: Graph, inputs: Float32Array) {
  const width = graph.tensors[graph.inputs[0]!]!.shape.reduce((a, b) => a * b, 1);
  const rows = Array.from({ length: inputs.length / width }, (_, i) =>
    inputs.subarray(i * width, (i + 1) * width),
  );
  const settings = { mode: 'int8', calibration: 'min-max' } as const;
  const int8 = quantizePrepared(prepareGraph(graph), rows, settings, { measured: false }).graph;
  const { core, clockMHz } = chips[searchChip];
  const cycles = layerCycles(int8, core).reduce((sum, layer) => sum + layer.cycles, 0);
  const macs = graphMacs(graph);
  return {
    arenaBytes: arenaBytes(int8),
    bytes: writeTflite(int8).length,
    macs,
    latencyUs: Math.round(cycles / clockMHz),
  };
}

function refusals(
  {
    score,
    accuracy,
    arenaBytes: arena,
    macs,
  }: { score: number | null; accuracy: number | null; arenaBytes: number; macs: number },
  accept: Project['config']['model']['accept'],
  { network }: Plan,
): string[] {
  const said: string[] = [];
  const least = (name: string, got: number | null, limit: number | undefined) => {
    if (limit !== undefined && got !== null && got < limit)
      said.push(`${name}: expected at least ${limit}, got ${got.toFixed(4)}`);
  };
  const most = (name: string, got: number, limit: number | undefined) => {
    if (limit !== undefined && got > limit) said.push(`${name}: expected at most ${limit}, got ${got}`);
  };
  if (network.output.kind !== 'value') least('macro-F1', score, accept.macroF1);
  least('accuracy', accuracy, accept.accuracy);
  most('arena, bytes', arena, accept.arena === undefined ? undefined : bytesOf(accept.arena));
  most('multiply-adds', macs, accept.macs);
  return said;
}

type Figures = Pick<Candidate, 'score' | 'arenaBytes' | 'macs' | 'latencyUs'>;

/** The score, with its sign chosen so that higher is better. */
function goodness({ score }: Pick<Candidate, 'score'>, lowIsGood: boolean): number {
  if (score === null) return Number.NEGATIVE_INFINITY;
  return lowIsGood ? -score : score;
}

/**
 * The Pareto-optimal candidates: no other candidate is at least as good in score, arena and latency (multiply-adds if unknown), and better
 * in at least one of them.
 */
export function paretoFront(candidates: readonly Figures[], lowIsGood: boolean): boolean[] {
  const costs = candidates.map((each) => [
    -goodness(each, lowIsGood),
    each.arenaBytes ?? Number.POSITIVE_INFINITY,
    each.latencyUs ?? each.macs ?? Number.POSITIVE_INFINITY,
  ]);
  return candidates.map(({ score }, i) => {
    if (score === null) return false;
    const own = costs[i]!;
    return !costs.some(
      (other, j) =>
        j !== i && other.every((cost, k) => cost <= own[k]!) && other.some((cost, k) => cost < own[k]!),
    );
  });
}

/**
 * Index of the candidate with the best score that is not rejected; in case of ties, the one with the smallest arena. Null if all are
 * rejected.
 */
export function bestOf(candidates: readonly Candidate[], lowIsGood: boolean): number | null {
  const open = [...candidates.keys()].filter(
    (i) => candidates[i]!.refused.length === 0 && candidates[i]!.score !== null,
  );
  open.sort((a, b) => {
    const [one, other] = [candidates[a]!, candidates[b]!];
    const better = goodness(other, lowIsGood) - goodness(one, lowIsGood);
    return better || (one.arenaBytes ?? 0) - (other.arenaBytes ?? 0) || a - b;
  });
  return open[0] ?? null;
}
