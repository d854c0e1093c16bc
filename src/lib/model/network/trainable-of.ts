import { AiotError } from '../../core/index.js';
import { type Graph, type Operator, withoutUnused } from '../../formats/index.js';
import type { Trainable } from '../train/engine/types.js';

const linear: readonly Operator['op'][] = ['FULLY_CONNECTED', 'CONV_2D', 'DEPTHWISE_CONV_2D'];

/**
 * Any float32 graph as one to train further: weights and biases of its linear layers are what training changes; a SOFTMAX or
 * LOGISTIC at the end goes to the loss. Constants elsewhere (a standardization, an unfolded batch norm) stay as they are.
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
      throw unfit(`expected a SOFTMAX of beta 1, got ${last.options.beta}`);
    ending = last.op;
    body = { ...graph, operators: graph.operators.slice(0, -1), outputs: [last.inputs[0]!] };
  }
  const trained = withoutUnused(body);
  const parameters = new Set<number>();
  for (const { op, inputs } of trained.operators) {
    if (!linear.includes(op)) continue;
    const [x, w] = inputs.map((index) => trained.tensors[index]?.shape[3]);
    // Neither engine has a gradient for it.
    if (op === 'CONV_2D' && x !== w)
      throw unfit(`it has a grouped convolution (${x} channels, ${w} in a group)`);
    for (const index of inputs.slice(1)) {
      if (trained.tensors[index]?.data instanceof Float32Array) parameters.add(index);
    }
  }
  if (parameters.size === 0) throw unfit('it has no layer with float32 weights to train');
  return { graph: trained, parameters: [...parameters], batchNorms: [], dropouts: [], ending };
}

function unfit(message: string): AiotError {
  return new AiotError('AIOT_MODEL_UNFIT', `this network cannot be trained: ${message}`, {
    next: 'Give the float32 network; docs/project.md tells which layers can be trained.',
  });
}
