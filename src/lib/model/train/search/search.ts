import {
  AiotError,
  overrideProject,
  type Project,
  seededRandom,
  writeJsonAtomic,
} from '../../../core/index.js';
import { signalSpecOf } from '../../../signal/index.js';
import { buildFiles, modelName } from '../../files.js';
import { openMaterial } from '../../material.js';
import { defaultLayers } from '../../network/layers.js';
import { divide, leaksOf } from '../divide.js';
import { planTraining } from '../plan.js';
import type { TrainOptions } from '../train-project.js';
import { bestOf, paretoFront } from './pareto.js';
import type { Candidate, SearchFile } from './result.js';
import { type Choice, drawn, overridesOf, spaceOf } from './space.js';
import { innerFolds, searchChip, tryCandidate } from './try-candidate.js';

export interface SearchOptions extends Omit<TrainOptions, 'folds' | 'resume' | 'onEpoch'> {
  /** Candidates to try, aiot.yaml's own among them. */
  count: number;
}

/** Draws that may give what was drawn before, until the space counts as used up. */
const patience = 50;

/**
 * Tries networks and signal parts drawn by chance (seeded), each by inner folds over the training and validation parts: what is
 * tested on later is never looked at. Writes build/search.json, also of what was tried before `signal` stopped it.
 * @throws AIOT_USAGE (nothing to be right about), AIOT_INTERRUPTED, and what training throws
 */
export async function searchProject(options: SearchOptions): Promise<SearchFile> {
  const { project, backend = 'auto', signal } = options;
  const started = performance.now();
  const { model } = project.config;
  const material = await openMaterial(project, options);
  const plan = planTraining(project, material, options.kind);
  const { kind } = plan.network.output;
  if (kind === 'reconstruction' || model.train.command || model.kind === 'layers') {
    const what = model.train.command ? 'a training program' : `model.kind ${model.kind}`;
    throw new AiotError(
      'AIOT_USAGE',
      `--search chooses among mlp, cnn1d and ds-cnn by how often they are right, not ${what}`,
    );
  }
  const division = divide(project, material, plan, options.split);
  leaksOf(material, division, options.force);
  const file = buildFiles(project).search;
  const choices = choicesOf(options, material.rows !== null, plan.network.kind);
  const tried: Omit<Candidate, 'pareto'>[] = [];
  let stopped: unknown;
  for (const [i, choice] of choices.entries()) {
    options.onStep?.(`candidate ${i + 1} of ${choices.length}: ${shown(choice)}`);
    try {
      signal?.throwIfAborted();
      tried.push(await tryCandidate(choice, { project, material, division, backend, signal }));
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
    score: lowIsGood ? 'rmse' : 'macroF1',
    folds: innerFolds,
    chip: searchChip,
    seed: model.train.seed,
    candidates,
    best,
    yaml: best === null ? [] : yamlOf(candidates[best]!),
    interrupted: stopped !== undefined,
    datasetDigest: material.dataset.digest,
    seconds: Math.round(performance.now() - started) / 1000,
    file,
  };
  await writeJsonAtomic(file, result);
  if (stopped === undefined) return result;
  throw new AiotError(
    'AIOT_INTERRUPTED',
    `stopped after ${tried.length} of ${choices.length} candidates; kept them in ${file}`,
  );
}

/** What aiot.yaml has, then others, none twice. */
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

/** Whether the features can be had of such windows. */
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

/** The candidate as lines of aiot.yaml. */
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
