import { setImmediate as nextTurn } from 'node:timers/promises';
import { AiotError } from '../../../core/errors.js';
import { seededRandom, shuffledNumbers } from '../../../core/numbers.js';
import type { Graph } from '../../../formats/tflite/graph.js';
import type { ObjectPoint } from '../../bundle/detections.js';
import { membersEngine } from '../../engine/members.js';
import { openEngine } from '../../engine/open-engine.js';
import type { Backend, Engine } from '../../engine/types.js';
import { buildTrainable } from '../../network/build.js';
import { type NetworkSpec, outputSize } from '../../network/layers.js';
import { type Backbone, transferTrainable } from '../../network/transfer.js';
import type { EpochFigures } from '../types.js';
import type { Augment, Move } from './augment.js';
import type { Checkpoint } from './checkpoint.js';
import { assess, classOf } from './loss.js';
import { cellWeights, classFactors, fillBatch, fillCells, hasClasses, lossOf, type Part } from './part.js';

export interface FitOptions {
  spec: NetworkSpec;
  /** Trained layers at the beginning of the network; absent = all layers are new. */
  backbone?: Backbone | null;
  train: Part;
  /** Examples (at least one) that determine which epoch's weights are used; null = the last epoch's. */
  validation: Part | null;
  epochs: number;
  batch: number;
  learningRate: number;
  /** Absent = constant. */
  schedule?: 'constant' | 'cosine' | undefined;
  seed: number;
  /** Number of networks with different initial weights that are trained in parallel and then joined; absent = 1. */
  members?: number;
  /** Epochs without a better validation loss after which training ends; absent = all epochs are run. */
  patience?: number;
  classWeights: 'balanced' | 'none';
  augment: Augment | null;
  backend: Backend;
  /** Checkpoint from which training continues, instead of from the beginning. */
  from?: Checkpoint;
  /** Called periodically between epochs, and at the end, with a state from which a later run can continue. */
  onCheckpoint?: (checkpoint: Checkpoint) => Promise<void>;
  onEpoch?: (figures: EpochFigures) => void;
  signal?: AbortSignal;
}

export interface Fitted {
  /** The best epoch's trained graph, before folding. Outputs are logits, values or a reconstruction. */
  trained: Graph;
  history: EpochFigures[];
  /** Epoch of these weights, from 1. */
  bestEpoch: number;
  /** Whether `signal` stopped training before the last epoch. */
  interrupted: boolean;
  backend: string;
  /** The best epoch's outputs [rows × outputs] for standardized inputs. */
  forward(inputs: Float32Array, rows: number): Float32Array;
  dispose(): void;
}

/** Minimum interval between checkpoints, ms. Writing a checkpoint takes time, so short epochs do not each get one. */
const checkpointEveryMs = 2000;
/** Interval at which training yields to signals, timers and progress output, ms. */
const turnEveryMs = 50;

/**
 * Trains with Adam on the loss of the network's output, and keeps the epoch with the lowest validation loss. Macro-F1 was tried as a
 * criterion, but has only a few distinct values on a small validation set, and therefore chose epochs at random. Equal data, options and
 * seeds yield equal weights, even if training was stopped and resumed. Initial weights, order, augmentation and dropout are seeded; the
 * last three are also seeded by epoch or step.
 * @throws AIOT_TRAINING_DIVERGED; the abort reason of `signal` if it was aborted before the first epoch ended
 */
export async function fitNetwork(options: FitOptions): Promise<Fitted> {
  const { spec, train, validation, epochs, signal, from, patience = Number.POSITIVE_INFINITY } = options;
  const engine = await openMembers(options);
  try {
    const history = [...(from?.history ?? [])];
    let best = from?.best;
    let last = from?.last;
    if (last) engine.load(last);
    const weights =
      spec.output.kind === 'objects'
        ? cellWeights(train.objects ?? [], spec.output, options.classWeights)
        : classFactors(train.classes, spec, options.classWeights);
    let written = performance.now();
    while (history.length < epochs && history.length - (best?.epoch ?? history.length) < patience) {
      if (signal?.aborted) break;
      const epoch = history.length + 1;
      const trained = await trainEpoch(engine, options, weights, epoch);
      if (trained === null) break;
      const { loss: valLoss, accuracy: valAccuracy } = validation
        ? assess(engine.forward(validation.inputs, validation.classes.length), spec, validation, weights)
        : trained;
      requireFinite(trained.loss, valLoss, epoch, epochs);
      const figures = { epoch, epochs, ...trained, valLoss, valAccuracy };
      history.push(figures);
      last = engine.save();
      if (!best || !validation || valLoss < best.loss) best = { epoch, loss: valLoss, state: last };
      options.onEpoch?.(figures);
      if (options.onCheckpoint && performance.now() - written > checkpointEveryMs) {
        await options.onCheckpoint({ history, last, best });
        written = performance.now();
      }
    }
    if (!best || !last) throw signal?.reason ?? new Error('no epoch was completed');
    await options.onCheckpoint?.({ history, last, best });
    engine.load(best.state);
    return {
      trained: engine.graph(),
      history,
      bestEpoch: best.epoch,
      interrupted: signal?.aborted === true,
      backend: engine.name,
      forward: (inputs, rows) => engine.forward(inputs, rows),
      dispose: () => engine.dispose(),
    };
  } catch (error) {
    engine.dispose();
    throw error;
  }
}

/** Each member has its own seeds for initial weights and dropout. The first member's seeds are those of a single network. */
async function openMembers(options: FitOptions): Promise<Engine> {
  const { spec, backbone, seed, members = 1, backend, learningRate } = options;
  const engines: Engine[] = [];
  for (let member = 0; member < members; member++) {
    const own = seed + member * 100_003;
    const trainable = backbone ? transferTrainable(spec, backbone, own) : buildTrainable(spec, own);
    engines.push(
      await openEngine(trainable, { backend, learningRate, loss: lossOf(spec.output.kind), seed: own }),
    );
  }
  return membersEngine(engines);
}

/** Trains one epoch; returns null if `signal` stopped it before the end. */
async function trainEpoch(
  engine: Engine,
  { spec, train, batch, augment, seed, signal, schedule, epochs }: FitOptions,
  weights: Float32Array | null,
  epoch: number,
): Promise<{ loss: number; accuracy: number | null } | null> {
  const count = train.classes.length;
  // Each epoch has a separate random stream, so that resumed training continues as if it had not been stopped.
  const random = seededRandom(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(epoch, 0x85ebca6b));
  const order = shuffledNumbers(count, random);
  const width = outputSize(spec);
  const most = Math.min(batch, count);
  const inputs = new Float32Array(most * train.inputSize);
  const targets = new Float32Array(most * width);
  const { output } = spec;
  const factors = weights && output.kind !== 'objects' ? new Float32Array(most) : null;
  const classes = hasClasses(spec.output.kind);
  let loss = 0;
  let right = 0;
  let turn = performance.now();
  for (let start = 0; start < count; start += batch) {
    const rows = order.subarray(start, start + batch);
    fillBatch(train, spec, rows, { inputs, targets });
    const moves = new Map<number, Move>();
    augment?.(inputs, rows.length, random, (row, move) => moves.set(row, move));
    if (output.kind === 'objects') {
      for (let i = 0; i < rows.length; i++) {
        const own = movedObjects(train.objects![rows[i]!]!, moves.get(i), spec.inputShape);
        fillCells(own, output, weights!, targets.subarray(i * width, (i + 1) * width));
      }
    }
    if (factors && weights)
      for (let i = 0; i < rows.length; i++) factors[i] = weights[train.classes[rows[i]!]!]!;
    const step = engine.step(
      inputs.subarray(0, rows.length * train.inputSize),
      targets.subarray(0, rows.length * width),
      factors?.subarray(0, rows.length) ?? null,
      rows.length,
      schedule === 'cosine' ? cosineShare(epoch, epochs) : 1,
    );
    loss += step.loss * rows.length;
    if (classes) {
      for (let i = 0; i < rows.length; i++) {
        if (classOf(step.outputs.subarray(i * width, (i + 1) * width), spec) === train.classes[rows[i]!])
          right++;
      }
    }
    if (performance.now() - turn > turnEveryMs) {
      await nextTurn();
      if (signal?.aborted) return null;
      turn = performance.now();
    }
  }
  await nextTurn();
  if (signal?.aborted) return null;
  return { loss: loss / count, accuracy: classes ? right / count : null };
}

/** The objects after their picture was changed, without those that are now outside the picture. */
function movedObjects(
  objects: readonly ObjectPoint[],
  move: Move | undefined,
  [height = 0, width = 0]: readonly number[],
): readonly ObjectPoint[] {
  if (!move) return objects;
  return objects.flatMap(({ class: own, x, y }) => {
    const [atX, atY] = move(x, y);
    return atX >= 0 && atY >= 0 && atX < width && atY < height ? [{ class: own, x: atX, y: atY }] : [];
  });
}

/**
 * Factor of the learning rate in an epoch (counted from 1). It decreases along half a cosine from 1 to almost 0. (Loshchilov and Hutter,
 * SGDR, 2017, without restarts.)
 */
export function cosineShare(epoch: number, epochs: number): number {
  return (1 + Math.cos((Math.PI * (epoch - 1)) / epochs)) / 2;
}

function requireFinite(loss: number, valLoss: number, epoch: number, epochs: number): void {
  const bad = [loss, valLoss].find((value) => !Number.isFinite(value));
  if (bad !== undefined)
    throw new AiotError('AIOT_TRAINING_DIVERGED', `the loss became ${bad} in epoch ${epoch} of ${epochs}`);
}
