import { seededRandom, shuffled } from '../../core/numbers.js';
import type { ProjectConfig } from '../../core/project-schema.js';
import type { Graph, Tensor } from '../../formats/tflite/graph.js';
import type { Standardization } from '../../signal/spec.js';
import { bestThreshold } from '../bundle/detections.js';
import type { Trainable } from '../engine/types.js';
import type { NetworkSpec } from '../network/layers.js';
import { simplifyGraph } from '../network/simplify.js';
import { unfit } from './examples/examples.js';
import { rowsOf, sameRows } from './examples/row-split.js';
import { standardizeInPlace } from './examples/standardize.js';
import { fitLesson, type LessonOptions, partOf, someOf, together } from './fit/fit-lesson.js';
import { fitLinear } from './fit/fit-linear.js';
import { fitNetwork } from './fit/fit-network.js';
import { type Answers, answersOf, classOf, errorQuantile, rowLoss, temperatureOf } from './fit/loss.js';
import { classFactors, hasClasses } from './fit/part.js';
import type { Plan } from './plan.js';
import type { EpochFigures, Lesson } from './types.js';

/** Training settings; the fields of model.train in aiot.yaml. */
export type TrainConfig = ProjectConfig['model']['train'];

export interface LearnOptions extends LessonOptions {
  /** Description stored in the file. */
  description: string;
  /** The project's folder: the working directory of a training command. */
  folder: string;
  /** Reports activities other than epochs, in a few words. */
  onStep?: (text: string) => void;
  /**
   * For a small table: a linear model replaces the network if it is better (`plan.linear`). The chosen model is trained again on the
   * training and validation rows together, for the best number of epochs. The metrics are those of the previous training run, which did not
   * use the validation rows.
   */
  refit?: boolean;
}

/**
 * Maximum number of rows in a small table. Up to this size, it is worthwhile to also train on the validation rows, which add a quarter more
 * rows.
 */
const smallTable = 10_000;

/** Result of a training run. */
export interface Learned {
  /** The float network to write; it expects standardized inputs. */
  graph: Graph;
  standardization: Standardization;
  /** See TrainingFile. */
  threshold: number | null;
  /** The temperature by which the outputs were divided before the softmax or sigmoid; null without model.train.calibrate. */
  temperature?: number | null;
  history: EpochFigures[];
  bestEpoch: number;
  interrupted: boolean;
  backend: string;
  /** The actual network: the requested one, or a linear model instead, which has no hidden layers. */
  network: NetworkSpec;
  /** Number of examples, including validation, on which the network was trained again; null if it was not trained again. */
  refitted: number | null;
  /** Whether a linear model replaced the network, and why; null if no replacement was considered. */
  choice: Choice | null;
  /** Root mean squared error on the validation set, in the unit of the values; null for other outputs. */
  valRmse: number | null;
  /**
   * Predicts the class, or the value, for each example. For a reconstruction, the threshold determines the class. Standardizes the
   * examples' inputs in place.
   */
  answers(examples: Lesson): Answers;
  /**
   * The network that was chosen on the validation set, before the second training run, which includes the validation rows. Without a second
   * run, this is the same network.
   */
  chosen: Pick<Learned, 'graph' | 'standardization' | 'answers'>;
  dispose(): void;
}

/**
 * Trains one network on examples. Standardizes the examples' inputs in place, by the training set's own mean and deviation.
 * @throws AIOT_TRAINING_DATA_UNFIT, AIOT_TRAINING_DIVERGED, AIOT_MODEL_UNFIT
 */
export async function learn(
  examples: { train: Lesson; validation: Lesson },
  options: LearnOptions,
): Promise<Learned> {
  const { network } = options.plan;
  const { train: training, validation } = normalOnly(examples, network);
  requireExamples({ train: training, validation }, options.plan);
  // Copied before the inputs are standardized in place.
  const rows =
    options.refit && isSmall(options.plan, training, validation) ? together(training, validation) : null;
  const first = await learnFrom(training, validation, options);
  const only = (of: typeof first) => ({ ...of, refitted: null, choice: null, chosen: of });
  if (rows === null || first.interrupted) return only(first);
  let kept = first;
  try {
    const { plan, train, backend, description, folder, signal } = options;
    const { bestEpoch } = first;
    const common = { plan, backend, description, folder, signal };
    const choice = plan.linear && (await chosenOf(rows, training.classes.length, bestEpoch, options));
    const fit = choice?.kept === 'linear' ? fitLinear : fitNetwork;
    if (fit === fitLinear) {
      const count = training.classes.length;
      const places = Array.from(rows.classes.keys());
      const parts = [someOf(rows, places.slice(0, count)), someOf(rows, places.slice(count))] as const;
      kept = await learnFrom(...parts, { ...common, train }, fit);
      first.dispose();
    }
    options.onStep?.(
      `training and validation rows together${fit === fitLinear ? '' : `, ${bestEpoch} epochs`}`,
    );
    const settings = { ...train, epochs: bestEpoch, patience: undefined };
    const { temperature = null } = kept;
    const last = await learnFrom(rows, null, { ...common, train: settings, temperature }, fit);
    if (last.interrupted) {
      last.dispose();
      return { ...only(kept), choice };
    }
    const dispose = () => {
      kept.dispose();
      last.dispose();
    };
    const { history, backend: engine, valRmse } = kept;
    const own = { history, bestEpoch: kept.bestEpoch, interrupted: false, backend: engine, valRmse };
    return { ...last, ...own, refitted: rows.classes.length, choice, chosen: kept, dispose };
  } catch (error) {
    // If Ctrl-C stopped the final training run before its first epoch ended, the previously chosen network is used.
    if (options.signal?.aborted) return { ...only(kept), interrupted: true };
    kept.dispose();
    throw error;
  }
}

/** Whether the final training run includes the validation rows: only for a small table of labeled rows. */
export function isSmall({ network, rows }: Plan, train: Lesson, validation: Lesson): boolean {
  const count = train.classes.length + validation.classes.length;
  return rows && network.output.kind !== 'reconstruction' && count <= smallTable;
}

/** @throws the abort reason of `signal` */
async function chosenOf(rows: Lesson, training: number, epochs: number, options: LearnOptions) {
  options.onStep?.('comparing the network with a linear model');
  const choice = await choose(rows, training, epochs, options);
  options.signal?.throwIfAborted();
  return choice;
}

/** The temperature for model.train.calibrate; null if calibration is off, or if there is no validation set. */
function calibration(
  validation: Lesson | null,
  forward: (inputs: Float32Array, rows: number) => Float32Array,
  { plan: { network }, train }: LearnOptions,
): number | null {
  if (!train.calibrate || !hasClasses(network.output.kind) || validation === null) return null;
  const { inputs, classes } = validation;
  if (classes.length === 0) return null;
  // The inputs were standardized in place when the network was fitted.
  return temperatureOf(forward(inputs, classes.length), classes);
}

async function learnFrom(
  training: Lesson,
  validation: Lesson | null,
  options: LearnOptions & { temperature?: number | null },
  fit = fitNetwork,
): Promise<Omit<Learned, 'refitted' | 'chosen' | 'choice'>> {
  const { plan, train, description } = options;
  const network = fit === fitNetwork ? plan.network : { ...plan.network, layers: [] };
  const { fitted, standardization, target, train: own } = await fitLesson(training, validation, options, fit);
  const kind = network.output.kind;
  const { forward } = fitted;
  const threshold =
    kind === 'reconstruction'
      ? errorQuantile(forward(own.inputs, own.classes.length), own.inputs, network, train.quantile)
      : null;
  const ending =
    kind === 'classes' || kind === 'objects' ? 'SOFTMAX' : kind === 'probability' ? 'LOGISTIC' : 'none';
  const temperature = options.temperature ?? calibration(validation, forward, options);
  const scale = temperature === null ? target : { mean: 0, deviation: 1 / temperature };
  const trained = scale === null ? fitted.trained : scaledOutput(fitted.trained, scale);
  const { history, bestEpoch, interrupted } = fitted;
  return {
    network,
    graph: finishGraph(trained, { ending }, description),
    standardization,
    threshold:
      kind === 'probability'
        ? 0.5
        : network.output.kind === 'objects'
          ? objectThreshold(validation, forward, network)
          : threshold,
    temperature,
    history,
    bestEpoch,
    interrupted,
    backend: fitted.backend,
    valRmse: target && Math.sqrt(history[bestEpoch - 1]!.valLoss) * target.deviation,
    answers: (asked) => {
      const inputs = standardizeInPlace(asked, standardization);
      const outputs = forward(inputs, asked.classes.length);
      const scaled = target ? outputs.map((z) => z * target.deviation + target.mean) : outputs;
      // The engine's outputs precede the sigmoid, so the threshold of one half corresponds to 0.
      return answersOf(scaled, inputs, network, threshold ?? 0);
    },
    dispose: () => fitted.dispose(),
  };
}

/** The best threshold for finding the objects of the validation set; one half without a validation set. */
function objectThreshold(
  validation: Lesson | null,
  forward: (inputs: Float32Array, rows: number) => Float32Array,
  { output, inputShape: [height = 0, width = 0] }: NetworkSpec,
): number {
  if (output.kind !== 'objects' || !validation?.objects || validation.objects.length === 0) return 0.5;
  const { inputs, objects } = validation;
  const { grid, count } = output;
  // The inputs were standardized in place when the network was fitted.
  const shares = softmaxRows(forward(inputs, objects.length), count);
  const size = grid[0] * grid[1] * count;
  const pictures = objects.map((_, row) => shares.subarray(row * size, (row + 1) * size));
  return bestThreshold(pictures, objects, { grid, picture: { width, height } }, count - 1);
}

function softmaxRows(logits: Float32Array, width: number): Float32Array {
  const out = new Float32Array(logits.length);
  for (let from = 0; from < out.length; from += width) {
    const z = logits.subarray(from, from + width);
    const most = Math.max(...z);
    const powers = Array.from(z, (each) => Math.exp(each - most));
    const total = powers.reduce((sum, each) => sum + each, 0);
    powers.forEach((power, c) => {
      out[from + c] = power / total;
    });
  }
  return out;
}

/** Omits anomalies if the network learns the normal state. */
export function normalOnly<T extends Record<string, Lesson>>(examples: T, { output }: NetworkSpec): T {
  if (output.kind !== 'reconstruction') return examples;
  const entries = Object.entries(examples).map(([name, own]) => [name, withoutAnomalies(own)]);
  return Object.fromEntries(entries) as T;
}

function withoutAnomalies(examples: Lesson): Lesson {
  if (!examples.classes.some((c) => c !== 0)) return examples;
  const { inputs, inputSize, classes, recordings } = examples;
  const rows = [...classes.keys()].filter((row) => classes[row] === 0);
  rows.forEach((row, i) => {
    inputs.copyWithin(i * inputSize, row * inputSize, (row + 1) * inputSize);
  });
  return {
    inputs: inputs.subarray(0, rows.length * inputSize),
    inputSize,
    classes: new Int32Array(rows.length),
    values: null,
    recordings: recordings && rows.map((row) => recordings[row]!),
  };
}

export function requireExamples(parts: Record<'train' | 'validation', Lesson>, plan: Plan): void {
  const { network, classes, signal } = plan;
  if (network.output.kind === 'objects') requireObjectsIn(parts.train, classes.names);
  const needed = hasClasses(network.output.kind) ? classes.names : [];
  for (const [part, { classes: found }] of Object.entries(parts)) {
    const missing = needed.filter((_, c) => !found.includes(c));
    if (found.length > 0 && (missing.length === 0 || part !== 'train')) continue;
    const of = missing.length > 0 ? ` of class ${missing.join(', ')}` : '';
    throw unfit(
      plan.rows
        ? `the ${part} set has no row${of}`
        : `the ${part} set has no window${of}: its recordings are shorter than one window (${signal.windowSamples} samples at ${signal.resampleHz} Hz), or it has none`,
    );
  }
}

function requireObjectsIn({ objects = [] }: Lesson, names: readonly string[]): void {
  const found = new Set(objects.flatMap((own) => own.map(({ class: c }) => c)));
  const missing = names.filter((_, c) => !found.has(c));
  if (missing.length === 0) return;
  throw unfit(
    `no picture in the train set has a box of class ${missing.join(', ')}`,
    'Add annotated pictures of it, or remove the class from model.labels.',
  );
}

/** Metrics of the network or the linear model on unseen rows. Classes are weighted by model.train.classWeights. */
interface ChoiceFigures {
  /** null for values. */
  accuracy: number | null;
  /** Mean loss, as in training. */
  loss: number;
}

/** The choice between the network and a linear model, and the metrics on which it is based. */
export interface Choice {
  kept: 'network' | 'linear';
  /** Number of folds; null = measured on the validation set. */
  folds: number | null;
  /** Number of rows on which the metrics are based. */
  rows: number;
  /** Standard error of the difference between the two models: in accuracy, or for values in loss. */
  standardError: number;
  network: ChoiceFigures;
  linear: ChoiceFigures;
}

const foldsOfRows = 5;

/** With more rows than this, the validation set is large enough to distinguish the two models. */
const mostRows = 1000;

/** Maximum number of training rows per fold, summed over all epochs. These take about a second. */
const mostLearned = 500_000;

/**
 * Compares a linear model with the network on unseen rows of a small table, where the linear model is often as good (measured:
 * docs/reference/project.md). Uses the validation set, or 5 folds of all rows except the test set's, with equal rows together and classes
 * distributed evenly. The network is chosen if it is better, row by row, by more than one standard error (Breiman et al. 1984).
 * @param rows the training set's rows, followed by the validation set's; not modified
 * @param epochs of the network
 * @returns null if `signal` stopped it
 */
async function choose(
  rows: Lesson,
  training: number,
  epochs: number,
  options: Pick<LessonOptions, 'plan' | 'train' | 'backend' | 'signal'>,
): Promise<Choice | null> {
  const { plan, backend, signal } = options;
  const count = rows.classes.length;
  const byFolds = plan.linear === 'folds' && count <= mostRows && count * epochs <= mostLearned;
  const all = Array.from({ length: count }, (_, row) => row);
  const asked = byFolds ? dealt(rows, options.train.seed) : [all.slice(training)];
  const train = { ...options.train, epochs, patience: undefined };
  const factors = classFactors(rows.classes, plan.network, train.classWeights);
  const tried = async (fit: typeof fitNetwork): Promise<Tried | null> => {
    const costs: number[] = [];
    let loss = 0;
    for (const own of asked) {
      if (signal?.aborted) return null;
      const held = new Set(own);
      const others = all.filter((row) => !held.has(row));
      const options = { plan, train, backend, signal };
      const learned = await fitLesson(someOf(rows, others), null, options, fit);
      const { fitted, standardization, target } = learned;
      const part = partOf(someOf(rows, own), standardization, target);
      const outputs = fitted.forward(part.inputs, own.length);
      fitted.dispose();
      if (fitted.interrupted) return null;
      const width = outputs.length / own.length;
      for (let row = 0; row < own.length; row++) {
        const said = outputs.subarray(row * width, (row + 1) * width);
        const factor = factors?.[part.classes[row]!] ?? 1;
        const lost = rowLoss(said, plan.network, part, row);
        const wrong = classOf(said, plan.network) === part.classes[row] ? 0 : 1;
        costs.push(factor * (classes ? wrong : lost));
        loss += factor * lost;
      }
    }
    return { costs, loss: loss / costs.length };
  };
  const classes = hasClasses(plan.network.output.kind);
  const network = await tried(fitNetwork);
  const linear = network && (await tried(fitLinear));
  if (!linear) return null;
  const differences = linear.costs.map((cost, i) => cost - network.costs[i]!);
  const n = differences.length;
  const lead = mean(differences);
  const standardError = Math.sqrt(mean(differences.map((each) => (each - lead) ** 2)) / n);
  const figuresOf = ({ costs, loss }: Tried) => ({ accuracy: classes ? 1 - mean(costs) : null, loss });
  return {
    kept: lead > standardError ? 'network' : 'linear',
    folds: byFolds ? foldsOfRows : null,
    rows: n,
    standardError,
    network: figuresOf(network),
    linear: figuresOf(linear),
  };
}

/** Each row's cost: the class's weight for a wrong prediction, or the squared error for values. */
interface Tried {
  costs: number[];
  loss: number;
}

function mean(of: readonly number[]): number {
  return of.reduce((sum, each) => sum + each, 0) / of.length;
}

/** Rows by fold. Equal rows stay together, and each fold has roughly equal shares of each class. */
function dealt({ inputs, inputSize, classes }: Lesson, seed: number): number[][] {
  const folds = Array.from({ length: foldsOfRows }, (): number[] => []);
  const units = shuffled(rowsOf(sameRows(inputs, inputSize)), seededRandom(seed));
  units.sort((a, b) => classes[a[0]!]! - classes[b[0]!]!);
  units.forEach((unit, i) => {
    folds[i % foldsOfRows]!.push(...unit);
  });
  return folds.filter((own) => own.length > 0 && own.length < classes.length);
}

/**
 * The graph with its single output multiplied by `deviation` plus `mean`: two operators that `finishGraph` folds into the last dense layer.
 * A network that learned standardized values then predicts values in the original unit.
 */
function scaledOutput(graph: Graph, { mean, deviation }: { mean: number; deviation: number }): Graph {
  const [x = -1] = graph.outputs;
  const { shape } = graph.tensors[x]!;
  const tensors: Tensor[] = [...graph.tensors];
  const constant = (name: string, value: number) =>
    tensors.push({ name, shape: [1], type: 'float32', data: Float32Array.of(value) }) - 1;
  const activation = (name: string) => tensors.push({ name, shape, type: 'float32' }) - 1;
  const factor = constant('unit/factor', deviation);
  const offset = constant('unit/offset', mean);
  const scaled = activation('unit/scaled');
  const y = activation('value');
  return {
    ...graph,
    tensors,
    operators: [
      ...graph.operators,
      { op: 'MUL', inputs: [x, factor], outputs: [scaled], options: { activation: 'none' } },
      { op: 'ADD', inputs: [scaled, offset], outputs: [y], options: { activation: 'none' } },
    ],
    outputs: [y],
  };
}

/**
 * Converts a trained graph to the graph to write. Batch norms are folded into the preceding layers, activations fused, changes of shape
 * merged, and the ending that the loss included is added. Dropout has no operator in the graph. A reconstruction is not changed; the code
 * that runs the network computes the distance from the input.
 * @param graph result of `engine.graph()`
 * @param description stored in the file
 */
export function finishGraph(graph: Graph, { ending }: Pick<Trainable, 'ending'>, description = ''): Graph {
  return simplifyGraph({ ...withEnding(graph, ending), description });
}

function withEnding(graph: Graph, ending: Trainable['ending']): Graph {
  if (ending === 'none') return graph;
  const { tensors, operators, outputs } = graph;
  const [z = -1] = outputs;
  const { shape } = tensors[z]!;
  const y = tensors.length;
  const last = { inputs: [z], outputs: [y] };
  return {
    ...graph,
    tensors: [...tensors, { name: 'scores', shape, type: 'float32' }],
    operators: [
      ...operators,
      ending === 'SOFTMAX'
        ? { op: 'SOFTMAX', ...last, options: { beta: 1 } }
        : { op: 'LOGISTIC', ...last, options: {} },
    ],
    outputs: [y],
  };
}
