import { type Graph, type Operator, withFloatConstants } from '../../formats/index.js';
import { brokenConstant } from '../lower/finite.js';
import { simplifyGraph } from '../lower/simplify.js';
import { unfit } from './calibrate.js';
import { outputRules } from './rules.js';

/**
 * The float32 network as quantization wants it: float16 constants as float32, batch norms and activations folded, one
 * input and one output. The given graph is left unchanged.
 * @throws AIOT_QUANTIZE_UNFIT for a network that is quantized already, has more ends, an operator without a rule, or weights
 *   that are no numbers
 */
export function prepareGraph(graph: Graph): Graph {
  const float = withFloatConstants(graph);
  const inside = float.operators.find((operator) => isInteger(float, operator));
  if (inside !== undefined)
    throw unfit(
      `expected a float32 network, got one that is quantized already (${inside.op} on ${typesOf(float, inside)})`,
    );
  const ends: [string, number[]][] = [
    ['input', float.inputs],
    ['output', float.outputs],
  ];
  for (const [what, indices] of ends) {
    if (indices.length !== 1) throw unfit(`expected one ${what}, got ${indices.length}`);
    const { name, type } = float.tensors[indices[0]!]!;
    if (type !== 'float32') throw unfit(`expected an ${what} of float32, got ${type} (${name})`);
  }
  const broken = brokenConstant(float);
  if (broken !== undefined) throw unfit(`the network's ${broken}: train it again`);
  const simple = simplifyGraph(float);
  for (const [index, { op }] of simple.operators.entries())
    if (outputRules[op] === undefined)
      throw unfit(`operator ${index}: expected one of ${Object.keys(outputRules).join(', ')}; got ${op}`);
  return simple;
}

function isInteger(graph: Graph, { inputs, outputs, op }: Operator): boolean {
  if (op === 'QUANTIZE' || op === 'DEQUANTIZE') return true;
  return [...inputs, ...outputs].some((index) => {
    const type = graph.tensors[index]?.type;
    return type === 'int8' || type === 'int16' || type === 'uint8';
  });
}

function typesOf({ tensors }: Graph, { inputs }: Operator): string {
  return [...new Set(inputs.flatMap((index) => tensors[index]?.type ?? []))].join(', ');
}
