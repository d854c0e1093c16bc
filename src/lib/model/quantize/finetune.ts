import { setImmediate as nextTurn } from 'node:timers/promises';
import { errorMaker } from '../../core/errors.js';
import { seededRandom, shuffled } from '../../core/numbers.js';
import { type Graph, type Operator, withoutUnused } from '../../formats/tflite/graph.js';
import { openEngine } from '../engine/open-engine.js';
import type { Engine, EngineState, FakeRange, Trainable } from '../engine/types.js';
import { channelScales } from './graph/numbers.js';
import { quantizePrepared } from './graph/quantize-graph.js';
import { decisive } from './graph/ranges.js';
import { channelAxis, isWeighted } from './graph/rules.js';
import { createRunner } from './runner.js';
import type { QuantizeSettings } from './types.js';

const unfit = errorMaker('AIOT_MODEL_UNFIT', 'this model cannot be trained: ', {
  next: 'Use the float32 model. For trainable layers, run `aiot docs project`.',
});

interface FinetuneOptions {
  epochs: number;
  signal?: AbortSignal | undefined;
  onStep?: ((text: string) => void) | undefined;
}

const batch = 32;

/**
 * Learning rates of Adam relative to a weight's integer step, in decreasing order. A weight reaches its neighboring integer in a few dozen
 * steps, regardless of the magnitude of the network's weights.
 */
const stepShares = [0.03, 0.01, 0.003];

/** Share of the rows used only to select the best epoch. */
const heldOut = 0.2;

const seed = 7;

/**
 * Quantization-aware fine-tuning: continues training with weights and activations rounded as in the quantized network. The float network
 * is the teacher (Ba and Caruana, "Do Deep Nets Really Need to be Deep?", 2014). The teacher's output before a final SOFTMAX or LOGISTIC is
 * the target, so no labels are needed. The best epoch is selected on rows excluded from training. If no epoch improves the network, it is
 * returned unchanged.
 * @throws AIOT_MODEL_UNFIT for a network that cannot be trained, and the abort reason of `signal`
 */
export async function finetuned(
  graph: Graph,
  rows: readonly Float32Array[],
  settings: QuantizeSettings,
  { epochs, signal, onStep }: FinetuneOptions,
): Promise<Graph> {
  const trainable = trainableOf(graph);
  const places = placesIn(graph, trainable.graph.tensors.length);
  const order = shuffled(rows, seededRandom(seed));
  const cut = Math.max(1, Math.round(order.length * heldOut));
  const [check, train] = [order.slice(0, cut), order.slice(cut)];
  const fakeQuant = { weights: true, activations: fakeRanges(graph, rows, settings, places) };
  const lesson = lessonOf(graph, train, check);
  let best: EngineState | null = null;
  let result = graph;
  let least = Number.POSITIVE_INFINITY;
  let done = 0;
  const weightStep = meanWeightStep(graph);
  for (const [stage, share] of stepShares.entries()) {
    const learningRate = weightStep * share;
    const engine = await openEngine(trainable, {
      backend: 'auto',
      loss: 'value',
      learningRate,
      seed,
      fakeQuant,
    });
    try {
      if (best !== null) engine.load(best);
      // Each stage starts from the best epoch so far.
      if (stage === 0) least = distanceOf(engine, lesson);
      const last = Math.round((epochs * (stage + 1)) / stepShares.length);
      while (done < last) {
        done++;
        await oneEpoch(engine, lesson, done, signal);
        const now = distanceOf(engine, lesson);
        onStep?.(`fine-tuning, epoch ${done} of ${epochs}`);
        if (now >= least) continue;
        [least, best] = [now, engine.save()];
        result = withConstants(graph, engine.graph(), places);
      }
    } finally {
      engine.dispose();
    }
  }
  return result;
}

interface Lesson {
  train: Float32Array[];
  targets: Float32Array[];
  check: Float32Array;
  /** Expected outputs for the held-out rows. */
  wanted: Float32Array;
  checks: number;
}

function lessonOf(graph: Graph, train: Float32Array[], check: Float32Array[]): Lesson {
  return {
    train,
    targets: beforeEnding(graph, train),
    check: joined(check),
    wanted: joined(beforeEnding(graph, check)),
    checks: check.length,
  };
}

async function oneEpoch(
  engine: Engine,
  { train, targets }: Lesson,
  epoch: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const order = shuffled([...train.keys()], seededRandom(seed + epoch));
  for (let at = 0; at < order.length; at += batch) {
    const some = order.slice(at, at + batch);
    const of = (values: Float32Array[]) => joined(some.map((row) => values[row]!));
    engine.step(of(train), of(targets), null, some.length);
    if (at % (64 * batch) !== 0) continue;
    // Yields so that signals and progress output are handled.
    await nextTurn();
    signal?.throwIfAborted();
  }
}

function distanceOf(engine: Engine, { check, wanted, checks }: Lesson): number {
  return squaredDistance(engine.forward(check, checks), wanted);
}

/** Mean scale of the weights, over the channels of all layers. */
function meanWeightStep({ operators, tensors }: Graph): number {
  const scales = operators.filter(isWeighted).flatMap(({ op, inputs }) => {
    const { data, shape } = tensors[inputs[1]!]!;
    if (!(data instanceof Float32Array)) return [];
    const axis = channelAxis(op);
    return channelScales(data, shape[axis]!, axis === 3 ? 1 : data.length / shape[axis]!);
  });
  return scales.reduce((sum, scale) => sum + scale, 0) / Math.max(1, scales.length);
}

/** Maps each tensor of the graph to its counterpart in the trainable graph, which has no tensor for a final SOFTMAX or LOGISTIC. */
function placesIn(graph: Graph, count: number): Map<number, number> {
  const gone = graph.tensors.length === count ? -1 : graph.outputs[0]!;
  const kept = graph.tensors.map((_, index) => index).filter((index) => index !== gone);
  return new Map(kept.map((index, place) => [index, place]));
}

/** Each activation's integer range in the current quantized network. */
function fakeRanges(
  graph: Graph,
  rows: readonly Float32Array[],
  settings: QuantizeSettings,
  places: ReadonlyMap<number, number>,
): Map<number, FakeRange> {
  const { graph: quantized, twins } = quantizePrepared(graph, rows, settings, { measured: false });
  const ranges = new Map<number, FakeRange>();
  for (const [index, twin] of twins) {
    const { type, quantization } = quantized.tensors[twin]!;
    const place = places.get(index);
    if (place === undefined || quantization === undefined || graph.tensors[index]!.data) continue;
    const [least, most] = type === 'int16' ? [-32768, 32767] : [-128, 127];
    ranges.set(place, { scale: quantization.scale[0]!, zeroPoint: quantization.zeroPoint[0]!, least, most });
  }
  return ranges;
}

function withConstants(graph: Graph, trained: Graph, places: ReadonlyMap<number, number>): Graph {
  const tensors = graph.tensors.map((tensor, index) => {
    const data = trained.tensors[places.get(index) ?? -1]?.data;
    return tensor.data instanceof Float32Array && data instanceof Float32Array ? { ...tensor, data } : tensor;
  });
  return { ...graph, tensors };
}

/** The network's outputs before a final SOFTMAX or LOGISTIC, row by row. */
function beforeEnding(graph: Graph, rows: readonly Float32Array[]): Float32Array[] {
  const [watched = -1] = decisive(graph);
  const operators = graph.operators.filter(({ inputs }) => !inputs.includes(watched));
  const runner = createRunner({ ...graph, operators, outputs: [watched] });
  return rows.map((row) => runner.run(row).slice());
}

function joined(rows: readonly Float32Array[]): Float32Array {
  const size = rows[0]?.length ?? 0;
  const all = new Float32Array(rows.length * size);
  rows.forEach((row, at) => {
    all.set(row, at * size);
  });
  return all;
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return sum;
}

const linear: readonly Operator['op'][] = ['FULLY_CONNECTED', 'CONV_2D', 'DEPTHWISE_CONV_2D'];

/**
 * Converts any float32 graph to a trainable one. The weights and biases of linear layers become trainable; a final SOFTMAX or LOGISTIC is
 * moved to the loss. Other constants (a standardization, an unfolded batch norm) do not change.
 * @throws AIOT_MODEL_UNFIT for a graph that is not float32, has several inputs or outputs, grouped convolutions, or nothing to train
 */
export function trainableOf(graph: Graph): Trainable {
  const ends = [...graph.inputs, ...graph.outputs].map((index) => graph.tensors[index]);
  if (
    graph.inputs.length !== 1 ||
    graph.outputs.length !== 1 ||
    ends.some((tensor) => tensor?.type !== 'float32')
  )
    throw unfit(
      `expected one float32 input and output, got ${ends.map((tensor) => tensor?.type).join(', ')}`,
    );
  const last = graph.operators.at(-1);
  const isLast = last?.outputs[0] === graph.outputs[0];
  let ending: Trainable['ending'] = 'none';
  let body = graph;
  if (last && isLast && (last.op === 'SOFTMAX' || last.op === 'LOGISTIC')) {
    if (last.op === 'SOFTMAX' && last.options.beta !== 1)
      throw unfit(`expected a SOFTMAX with beta 1, got ${last.options.beta}`);
    ending = last.op;
    body = { ...graph, operators: graph.operators.slice(0, -1), outputs: [last.inputs[0]!] };
  }
  const trained = withoutUnused(body);
  const parameters = new Set<number>();
  for (const { op, inputs } of trained.operators) {
    if (!linear.includes(op)) continue;
    const [x, w] = inputs.map((index) => trained.tensors[index]?.shape[3]);
    // Neither engine has a gradient for grouped convolutions.
    if (op === 'CONV_2D' && x !== w)
      throw unfit(`it has a grouped convolution (${x} channels, ${w} per group)`);
    for (const index of inputs.slice(1)) {
      if (trained.tensors[index]?.data instanceof Float32Array) parameters.add(index);
    }
  }
  if (parameters.size === 0) throw unfit('it has no trainable layer with float32 weights');
  return { graph: trained, parameters: [...parameters], batchNorms: [], dropouts: [], ending };
}
