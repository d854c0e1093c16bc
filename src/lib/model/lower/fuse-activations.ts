import type { Activation, Graph, Operator } from '../../formats/index.js';
import { makerOf, replaced, usesOf } from './rewrite.js';

/** Operators whose kernels end in a clamp. */
type Clamped = Extract<
  Operator,
  { op: 'FULLY_CONNECTED' | 'CONV_2D' | 'DEPTHWISE_CONV_2D' | 'ADD' | 'SUB' | 'MUL' }
>;
const clamped: readonly Operator['op'][] = [
  'FULLY_CONNECTED',
  'CONV_2D',
  'DEPTHWISE_CONV_2D',
  'ADD',
  'SUB',
  'MUL',
];

/** What a RELU or RELU6 after a layer's own activation comes to; undefined where it is neither. */
function joined(own: Activation, next: 'RELU' | 'RELU6'): Activation | undefined {
  if (own === 'relu_n1_to_1') return undefined;
  return next === 'RELU6' || own === 'relu6' ? 'relu6' : 'relu';
}

/** A RELU or RELU6 that alone reads a layer's float32 output becomes that layer's fused activation. */
export function fuseActivation(graph: Graph): Graph | undefined {
  for (const [at, { op, inputs, outputs }] of graph.operators.entries()) {
    if (op !== 'RELU' && op !== 'RELU6') continue;
    const maker = makerOf(graph, inputs[0]!);
    if (maker === undefined || !clamped.includes(maker.operator.op) || usesOf(graph, inputs[0]!) !== 1)
      continue;
    if (graph.tensors[inputs[0]!]!.type !== 'float32') continue;
    const layer = maker.operator as Clamped;
    const activation = joined(layer.options.activation, op);
    if (activation === undefined) continue;
    const fused = { ...layer, outputs, options: { ...layer.options, activation } } as Operator;
    return replaced(
      graph,
      graph.tensors,
      new Map([
        [maker.at, [fused]],
        [at, []],
      ]),
    );
  }
  return undefined;
}
