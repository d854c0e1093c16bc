import { checkGraph, type Operator } from '../../../../formats/index.js';
import type { EngineOptions, Trainable } from '../types.js';
import type { Run, Slot, TrainNode } from './node.js';
import { batchNorm } from './nodes/batch-norm.js';
import { depthwise } from './nodes/depthwise.js';
import { dropout } from './nodes/dropout.js';
import { fakeActivation } from './nodes/fake.js';
import { convolution, fullyConnected } from './nodes/linear.js';
import { move } from './nodes/moves.js';
import { pool } from './nodes/pool.js';
import { reduce } from './nodes/reduce.js';
import { sum } from './nodes/sums.js';
import { softmax, unary } from './nodes/unary.js';
import type { Parameters } from './parameters.js';
import { Planner, unfit } from './planner.js';
import { type Kernels, kernelsOver } from './wasm/kernels.js';

/** A graph in the kernels' memory, ready for up to `rows` examples at once. */
export interface Machine {
  rows: number;
  kernels: Kernels;
  parameters: Parameters;
  input: Slot;
  output: Slot;
  forward(run: Omit<Run, 'kernels'>): void;
  /** From the output's gradient, which the caller has put there after `clear`, to all others. */
  backward(run: Omit<Run, 'kernels'>): void;
  clear(): void;
}

/** @throws AIOT_MODEL_UNFIT, AIOT_TFLITE_MALFORMED */
export function buildMachine(
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
      // Nothing before it is trained: a standardization, say.
      const idle = !operator.outputs.some((index) => plan.slot(index).gradient);
      nodes.push(...(idle ? made.map(({ forward }) => ({ forward })) : made));
    }
    for (const output of operator.outputs) after(output);
  });
  const output = plan.slot(graph.outputs[0]!);
  if (!output.gradient) throw unfit('nothing that is trained reaches its output');
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

/** None for an operator that only changes the shape: its output is its input. */
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
      throw unfit(`it is quantized already (${operator.op})`);
  }
}
