import { AiotError, bytesOf, overrideProject, type Project } from '../../../core/index.js';
import { type Graph, writeTflite } from '../../../formats/index.js';
import { arenaBytes } from '../../../runtime/index.js';
import { chips } from '../../fit/chips.js';
import { layerCycles } from '../../fit/kernels.js';
import { multiplyAdds } from '../../inspect/costs.js';
import type { Material } from '../../material.js';
import { prepareGraph, quantizePrepared } from '../../quantize/graph/quantize-graph.js';
import type { Backend } from '../engine/types.js';
import { pick } from '../examples.js';
import { foldFigures } from '../folds/figures.js';
import { learnedRows, rowsOf } from '../folds/folds.js';
import { tInterval } from '../folds/t-interval.js';
import { chosen, dealt, type Unit, unitsIn } from '../folds/units.js';
import { learn } from '../learn.js';
import { type Division, examplesOfPart, withStride } from '../parts.js';
import { type Plan, planTraining } from '../plan.js';
import { standardizeInPlace } from '../standardize.js';
import type { Examples } from '../types.js';
import type { Candidate } from './result.js';
import { type Choice, overridesOf } from './space.js';

/** Inner folds that a candidate is measured by. */
export const innerFolds = 3;
/** The chip that latency is predicted for; others are faster or slower by about the same share for every network. */
export const searchChip = 'esp32s3';
/** Examples that the ranges of int8 are taken from: sizes do not depend on them. */
const calibrationRows = 50;

export interface TryOptions {
  project: Project;
  material: Material;
  division: Division;
  backend: Backend;
  signal?: AbortSignal;
}

/**
 * Trains one candidate on inner folds of the training and validation parts: the test part is never looked at. What cannot be
 * trained (a window longer than a recording, a set that does not fit) is told as such.
 */
export async function tryCandidate(choice: Choice, options: TryOptions): Promise<Omit<Candidate, 'pareto'>> {
  const { signal } = choice;
  const named = {
    kind: choice.kind,
    layers: choice.layers,
    features: signal?.features ?? null,
    window: signal?.window ?? null,
    stride: signal?.stride ?? null,
  };
  try {
    return { ...named, ...(await measured(choice, options)) };
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
    return { ...named, ...none, refused: [error.message] };
  }
}

async function measured(choice: Choice, { project: given, material, division, backend, signal }: TryOptions) {
  const project = overrideProject(given, overridesOf(choice));
  const { model } = project.config;
  const plan = planTraining(project, material, choice.kind);
  const own = { ...division, signal: plan.signal };
  const all = bothParts(material, own);
  const closer = withStride(material, own, model.train.stride);
  const learnedFrom = closer === own ? all : bothParts(material, closer);
  const by = model.split === 'device' || model.split === 'window' ? model.split : 'recording';
  const folds = dealt(unitsIn(all, material, by, false), { folds: innerFolds }, model.train.seed);
  const found: { score: number | null; accuracy: number | null }[] = [];
  let costs: ReturnType<typeof costsOf> | undefined;
  for (const [f, tested] of folds.entries()) {
    signal?.throwIfAborted();
    const rest = folds.flatMap((units, i) => (i === f ? [] : units));
    const { figures, graph, inputs } = await tryFold({ all, learned: learnedFrom }, rest, rowsOf(tested), {
      project,
      plan,
      backend,
      signal,
    });
    found.push({ score: figures.macroF1 ?? figures.rmse, accuracy: figures.accuracy });
    costs ??= costsOf(graph, inputs);
  }
  const most = plan.network.output.kind === 'value' ? undefined : 1;
  const scores = tInterval(
    found.flatMap(({ score }) => score ?? []),
    most,
  );
  const accuracy = tInterval(found.flatMap((each) => each.accuracy ?? []))?.mean ?? null;
  const sized = { score: scores?.mean ?? null, interval: scores?.interval ?? null, accuracy, ...costs! };
  return { ...sized, refused: refusals(sized, model.accept, plan) };
}

/** Examples of the training and validation parts together. */
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
    train: learnedRows({ all, learned: closer }, rowsOf(sides.train)),
    validation: pick(all, rowsOf(sides.validation)),
  };
  const learned = await learn(parts, { plan, train, backend, description: '', folder: project.dir, signal });
  try {
    if (learned.interrupted) throw signal?.reason;
    const truth = pick(all, tested);
    const sample = pick(all, tested.slice(0, calibrationRows));
    const inputs = standardizeInPlace(sample, learned.standardization);
    const figures = foldFigures(truth, learned.answers(truth), plan.classes.names.length);
    return { figures, graph: learned.graph, inputs };
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
  const macs = graph.operators.reduce((sum, operator) => sum + multiplyAdds(graph, operator), 0);
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
