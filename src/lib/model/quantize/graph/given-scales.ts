import { AiotError } from '../../../core/errors.js';
import type { Graph, Operator, Quantization } from '../../../formats/tflite/graph.js';
import { activationPlaces } from '../../../formats/tflite/operators.js';
import { hasMicroKernel } from '../../../runtime/interpreter/interpreter.js';
import type { Kind } from '../types.js';
import { toIntegers } from './integers.js';
import type { Range } from './numbers.js';
import { avoidsInt8, outputRule, weightPlaces } from './rules.js';

/**
 * Quantizes a float32 graph with scales chosen by another program. The scales are the `quantization` of the float32 activations, and
 * weights are whole numbers of steps. An operator stays float32, as in that program, if one of its activations has no scale.
 * @throws AIOT_QUANTIZE_UNFIT if no operator has scales, or a scale does not suit the integer kernels
 */
export function quantizeAsGiven(given: Graph): { graph: Graph; notes: string[] } {
  // The tensors that simplification adds around reshapes have no scales yet.
  const graph = spreadScales(given);
  const scales = new Map<number, Quantization>();
  graph.tensors.forEach(({ data, quantization }, index) => {
    if (data === undefined && quantization !== undefined) scales.set(index, quantization);
  });
  const kinds = graph.operators.map((operator) => kindOf(graph, operator, scales));
  if (!kinds.includes('int8'))
    throw new AiotError(
      'AIOT_QUANTIZE_UNFIT',
      'no operator of the model has scales for its inputs and outputs',
      {
        next: 'Import it without --keep-scales, and quantize it with aiot model quantize.',
      },
    );
  const notes: string[] = [];
  const floats = graph.operators.flatMap(({ op }, at) => (kinds[at] === 'int8' ? [] : [op]));
  if (floats.length > 0)
    notes.push(`Operators without scales in the file stay float32: ${[...new Set(floats)].join(', ')}.`);
  const ends = [...graph.inputs, ...graph.outputs];
  const io: Kind = ends.every((index) => scales.has(index)) ? 'int8' : 'float32';
  const onNewScales = (weights: string) => {
    notes.push(`The weights ${weights} were quantized again: TFLite requires zero points of 0.`);
  };
  const ranges = new Map([...scales].map(([index, given]) => [index, rangeOf(given)] as const));
  const plain = graph.tensors.map(({ quantization: _, ...tensor }) => tensor);
  const made = toIntegers({ ...graph, tensors: plain }, ranges, { kinds, io, onNewScales });
  return { graph: made.graph, notes };
}

/**
 * The kind of an operator: int8 if all its activations have scales. If the kernel determines the output's scale, records that scale.
 * @param scales scales of the activations computed so far, and all given scales
 */
function kindOf(graph: Graph, operator: Operator, scales: Map<number, Quantization>): Kind {
  const { op, inputs, outputs } = operator;
  const activations = activationPlaces(operator)
    .map((place) => inputs[place]!)
    .filter((index) => graph.tensors[index]?.data === undefined);
  const layer = weightPlaces(op);
  const isConstant = layer?.every((place) => {
    const index = inputs[place] ?? -1;
    return index === -1 || graph.tensors[index]!.data instanceof Float32Array;
  });
  const [first] = activations.map((index) => scales.get(index));
  if (isConstant === false || !hasMicroKernel(op, 'int8') || avoidsInt8(op) || first === undefined)
    return 'float32';
  if (!activations.every((index) => scales.has(index))) return 'float32';
  if (outputRule(op) === 'input')
    for (const output of outputs) if (!scales.has(output)) scales.set(output, first);
  return outputs.every((output) => scales.has(output) || graph.tensors[output]!.type !== 'float32')
    ? 'int8'
    : 'float32';
}

function rangeOf(given: Quantization): Range {
  const [scale, zero] = [given.scale[0]!, given.zeroPoint[0]!];
  return { low: (-128 - zero) * scale, high: (127 - zero) * scale, given };
}

/** Operators through which a scale may pass backward, because they at most cut off values. */
const passing: readonly Operator['op'][] = ['RELU', 'RELU6'];

/**
 * Copies activations' scales to neighboring tensors without scales, before and after a shape change or a RELU. Otherwise, simplifying a
 * graph could remove the only tensor that has the scale.
 */
export function spreadScales(graph: Graph): Graph {
  const tensors = [...graph.tensors];
  const readers = new Map<number, number>();
  for (const { inputs } of graph.operators)
    for (const index of inputs) readers.set(index, (readers.get(index) ?? 0) + 1);
  const copy = (from: number, to: number) => {
    const { quantization } = tensors[from] ?? {};
    const target = tensors[to];
    if (quantization && target?.type === 'float32' && !target.data && !target.quantization)
      tensors[to] = { ...target, quantization };
  };
  for (const { op, inputs, outputs } of [...graph.operators].reverse()) {
    const [x = -1] = inputs;
    const isOnly = readers.get(x) === 1 && !graph.outputs.includes(x);
    if (isOnly && (passing.includes(op) || outputRule(op) === 'input')) copy(outputs[0] ?? -1, x);
  }
  for (const { op, inputs, outputs } of graph.operators)
    if (outputRule(op) === 'input') for (const output of outputs) copy(inputs[0] ?? -1, output);
  return { ...graph, tensors };
}
