import { AiotError } from '../../../core/errors.js';
import { checkGraph } from '../../../formats/tflite/check.js';
import type { Operator } from '../../../formats/tflite/graph.js';
import { copied, graphWith, setStatistics, statisticsOf } from '../trained-graph.js';
import type { Engine, EngineOptions, EngineState, Loss, Step, Trainable } from '../types.js';
import { type Kernels, kernelsOver } from '../wasm/kernels.js';
import { batchNorm, dropout, fakeActivation, softmax, unary } from './elementwise.js';
import { convolution, depthwise, fullyConnected } from './linear.js';
import { move } from './moves.js';
import type { Run, Slot, TrainNode } from './node.js';
import type { Parameters } from './parameters.js';
import { Planner, unfit } from './planner.js';
import { pool, reduce, sum } from './pooling.js';

const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-7];

/** Rows computed at once during inference. */
const evaluationRows = 64;

/**
 * The project's own engine (docs/background/decisions/009-training-engine.md). The forward pass, the backward pass and Adam are WebAssembly
 * SIMD kernels made by `wasm/`; plain loops over the same memory are used where they suffice. Single-threaded; every sum has a fixed order.
 * @throws AIOT_MODEL_UNFIT, AIOT_TFLITE_MALFORMED
 */
export function openFastEngine(given: Trainable, options: EngineOptions): Engine {
  return new FastEngine({ ...given, batchNorms: copied(given.batchNorms) }, options);
}

class FastEngine implements Engine {
  readonly name = 'wasm-simd';
  private machine: Machine;
  private steps = 0;

  constructor(
    private readonly trainable: Trainable,
    private readonly options: EngineOptions,
  ) {
    this.machine = buildMachine(trainable, 1, options);
  }

  get inputSize(): number {
    return this.machine.input.size;
  }

  get outputSize(): number {
    return this.machine.output.size;
  }

  /** Size of the output's last axis. */
  private get cellSize(): number {
    const { tensors, outputs } = this.trainable.graph;
    return tensors[outputs[0]!]!.shape.at(-1)!;
  }

  step(
    inputs: Float32Array,
    targets: Float32Array,
    weights: Float32Array | null,
    rows: number,
    share = 1,
  ): Step {
    this.check(inputs, rows, this.inputSize, 'inputs');
    this.check(targets, rows, this.outputSize, 'targets');
    this.reserve(rows);
    const { machine, steps } = this;
    const { kernels, parameters, output } = machine;
    machine.clear();
    machine.input.value.data.set(inputs.subarray(0, rows * this.inputSize));
    const run = { rows, training: true, steps };
    machine.forward(run);
    const outputs = output.value.data.slice(0, rows * output.size);
    const cells = this.options.loss === 'cells' ? output.size / this.cellSize : 1;
    const loss = lossOf(
      this.options.loss,
      outputs,
      targets,
      weights,
      { rows, places: cells },
      output.gradient!.data,
    );
    machine.backward(run);
    this.steps = steps + 1;
    const { values, first, second, gradients } = parameters;
    const [c1, c2] = [1 / (1 - beta1 ** this.steps), 1 / (1 - beta2 ** this.steps)];
    const learningRate = share * this.options.learningRate;
    const places = [values.at, first.at, second.at, gradients.at] as const;
    kernels.adam(...places, values.length, learningRate, beta1, beta2, epsilon, c1, c2);
    return { loss, outputs };
  }

  forward(inputs: Float32Array, rows: number): Float32Array {
    this.check(inputs, rows, this.inputSize, 'inputs');
    this.reserve(Math.min(rows, evaluationRows));
    const { machine, steps } = this;
    const { input, output } = machine;
    const outputs = new Float32Array(rows * output.size);
    for (let from = 0; from < rows; from += machine.rows) {
      const count = Math.min(machine.rows, rows - from);
      input.value.data.set(inputs.subarray(from * input.size, (from + count) * input.size));
      machine.forward({ rows: count, training: false, steps });
      outputs.set(output.value.data.subarray(0, count * output.size), from * output.size);
    }
    return outputs;
  }

  save(): EngineState {
    const { parameters } = this.machine;
    return {
      steps: this.steps,
      values: parameters.packed(parameters.values),
      first: parameters.packed(parameters.first),
      second: parameters.packed(parameters.second),
      statistics: statisticsOf(this.trainable.batchNorms),
    };
  }

  load({ steps, values, first, second, statistics }: EngineState): void {
    const { parameters } = this.machine;
    checkState(parameters.count, [values, first, second]);
    checkState(statisticsOf(this.trainable.batchNorms).length, [statistics]);
    parameters.unpack(values, parameters.values);
    parameters.unpack(first, parameters.first);
    parameters.unpack(second, parameters.second);
    setStatistics(this.trainable.batchNorms, statistics);
    this.steps = steps;
  }

  graph() {
    const { values, statistics } = this.save();
    return graphWith(this.trainable, values, statistics);
  }

  /** The memory is released with the engine. */
  dispose(): void {}

  /** Allocates memory for at least this many rows at a time. */
  private reserve(rows: number): void {
    if (rows <= this.machine.rows) return;
    const state = this.save();
    this.machine = buildMachine(this.trainable, rows, this.options);
    this.load(state);
  }

  private check(values: Float32Array, rows: number, size: number, what: string): void {
    if (values.length >= rows * size && rows > 0) return;
    throw new AiotError('AIOT_BUG', `${what}: expected ${rows} × ${size} numbers, got ${values.length}`);
  }
}

/** @throws AIOT_FILE_MALFORMED */
export function checkState(expected: number, parts: readonly Float32Array[]): void {
  for (const { length } of parts) {
    if (length === expected) continue;
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `the training state belongs to another model: expected ${expected} numbers, got ${length}`,
    );
  }
}

/** A graph in the kernels' memory, ready for up to `rows` examples at a time. */
interface Machine {
  rows: number;
  kernels: Kernels;
  parameters: Parameters;
  input: Slot;
  output: Slot;
  forward(run: Omit<Run, 'kernels'>): void;
  /** Propagates the output's gradient to all other tensors. The caller stores it after `clear`. */
  backward(run: Omit<Run, 'kernels'>): void;
  clear(): void;
}

/** @throws AIOT_MODEL_UNFIT, AIOT_TFLITE_MALFORMED */
function buildMachine(
  trainable: Trainable,
  rows: number,
  { seed, fakeQuant }: Pick<EngineOptions, 'seed' | 'fakeQuant'>,
): Machine {
  const { graph, batchNorms, dropouts } = trainable;
  checkGraph(graph);
  const plan = new Planner(trainable, rows, fakeQuant);
  const input = plan.slot(graph.inputs[0]!);
  const nodes: TrainNode[] = [];
  const after = (index: number) => {
    for (const note of dropouts) if (note.tensor === index) nodes.push(dropout(plan, note, seed));
    const range = fakeQuant?.activations.get(index);
    if (range) nodes.push(fakeActivation(plan, index, range));
  };
  after(graph.inputs[0]!);
  graph.operators.forEach((operator, at) => {
    if (batchNorms.some(({ multiply }) => multiply === at)) return;
    const norm = batchNorms.findIndex(({ add }) => add === at);
    if (norm >= 0) {
      const first = trainable.parameters.length + norm * 2;
      const { parameters } = plan;
      nodes.push(batchNorm(plan, batchNorms[norm]!, parameters.slot(first), parameters.slot(first + 1)));
    } else {
      const made = nodeOf(plan, operator);
      // No gradient is needed if nothing before the operator is trained, as for a standardization.
      const idle = !operator.outputs.some((index) => plan.slot(index).gradient);
      nodes.push(...(idle ? made.map(({ forward }) => ({ forward })) : made));
    }
    for (const output of operator.outputs) after(output);
  });
  const output = plan.slot(graph.outputs[0]!);
  if (!output.gradient) throw unfit('no trainable layer reaches its output');
  const memory = plan.seal();
  const kernels = kernelsOver(memory);
  const all = [...plan.before, ...nodes];
  const backwards = [...nodes].reverse();
  return {
    rows,
    kernels,
    parameters: plan.parameters,
    input,
    output,
    forward: (run) => {
      for (const node of all) node.forward({ ...run, kernels });
    },
    backward: (run) => {
      for (const node of backwards) node.backward?.({ ...run, kernels });
    },
    clear: () => plan.arena.gradients.fill(0),
  };
}

/** The nodes that compute an operator. An operator that only changes the shape has none, because its output shares its input's memory. */
function nodeOf(plan: Planner, operator: Operator): TrainNode[] {
  switch (operator.op) {
    case 'FULLY_CONNECTED':
      return [fullyConnected(plan, operator)];
    case 'CONV_2D':
      if (plan.shape(operator.inputs[0]!)[3] !== plan.shape(operator.inputs[1]!)[3])
        throw unfit('CONV_2D in groups');
      return [convolution(plan, operator)];
    case 'DEPTHWISE_CONV_2D':
      return [depthwise(plan, operator)];
    case 'MAX_POOL_2D':
    case 'AVERAGE_POOL_2D':
      return [pool(plan, operator)];
    case 'MEAN':
    case 'REDUCE_MAX':
      return [reduce(plan, operator)];
    case 'ADD':
    case 'SUB':
    case 'MUL':
      return [sum(plan, operator)];
    case 'RELU':
    case 'RELU6':
    case 'LEAKY_RELU':
    case 'TANH':
    case 'LOGISTIC':
      return [unary(plan, operator)];
    case 'SOFTMAX':
      return [softmax(plan, operator)];
    case 'CONCATENATION':
    case 'PAD':
    case 'PADV2':
    case 'TRANSPOSE':
    case 'SPLIT':
    case 'STRIDED_SLICE':
      return [move(plan, operator)];
    case 'RESHAPE':
    case 'EXPAND_DIMS':
    case 'SQUEEZE':
      plan.bind(operator.outputs[0]!, plan.input(operator, 0));
      return [];
    case 'QUANTIZE':
    case 'DEQUANTIZE':
      throw unfit(`the model is already quantized (${operator.op})`);
    default:
      throw unfit(`no gradient is implemented for the operator ${operator.op}`);
  }
}

/**
 * A batch's loss, and its gradient with respect to the outputs. Sums are in double precision.
 * @param outputs [rows × places × size]; only the loss `cells` has more than one position per row
 * @param gradient [rows × places × size], overwritten
 */
function lossOf(
  loss: Loss,
  outputs: Float32Array,
  targets: Float32Array,
  weights: Float32Array | null,
  { rows, places }: { rows: number; places: number },
  gradient: Float32Array,
): number {
  const size = outputs.length / (rows * places);
  const ofRow = rowLosses[loss];
  let total = 0;
  for (let place = 0; place < rows * places; place++) {
    const weight = (weights?.[Math.floor(place / places)] ?? 1) / (rows * places);
    const from = place * size;
    total += weight * ofRow(outputs, targets, from, from + size, weight, gradient);
  }
  return total;
}

type RowLoss = (
  z: Float32Array,
  t: Float32Array,
  from: number,
  end: number,
  weight: number,
  gradient: Float32Array,
) => number;

// −Σ t·log softmax(z); its gradient is softmax(z)·Σt − t.
const crossEntropy: RowLoss = (z, t, from, end, weight, gradient) => {
  let most = Number.NEGATIVE_INFINITY;
  for (let i = from; i < end; i++) if (z[i]! > most) most = z[i]!;
  let [powers, share, hit] = [0, 0, 0];
  for (let i = from; i < end; i++) {
    powers += Math.exp(z[i]! - most);
    share += t[i]!;
    hit += t[i]! * (z[i]! - most);
  }
  for (let i = from; i < end; i++) {
    gradient[i] = weight * ((Math.exp(z[i]! - most) / powers) * share - t[i]!);
  }
  return share * Math.log(powers) - hit;
};

const rowLosses: Record<Loss, RowLoss> = {
  classes: crossEntropy,
  cells: crossEntropy,
  // max(z, 0) − z·t + log(1 + e^−|z|); its gradient is sigmoid(z) − t.
  probability: (z, t, from, end, weight, gradient) => {
    let loss = 0;
    const size = end - from;
    for (let i = from; i < end; i++) {
      const small = Math.exp(-Math.abs(z[i]!));
      loss += Math.max(z[i]!, 0) - z[i]! * t[i]! + Math.log1p(small);
      const sigmoid = z[i]! >= 0 ? 1 / (1 + small) : small / (1 + small);
      gradient[i] = (weight * (sigmoid - t[i]!)) / size;
    }
    return loss / size;
  },
  value: (z, t, from, end, weight, gradient) => {
    let loss = 0;
    const size = end - from;
    for (let i = from; i < end; i++) {
      const difference = z[i]! - t[i]!;
      loss += difference * difference;
      gradient[i] = (2 * weight * difference) / size;
    }
    return loss / size;
  },
};
