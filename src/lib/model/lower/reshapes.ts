import { elementCount, type Graph, type Operator } from '../../formats/index.js';
import { makerOf, redirected, replaced, usesOf } from './rewrite.js';

const isShapeOnly = ({ op }: Operator) => op === 'RESHAPE' || op === 'EXPAND_DIMS' || op === 'SQUEEZE';
const unary: readonly Operator['op'][] = ['RELU', 'RELU6', 'LEAKY_RELU', 'LOGISTIC', 'TANH'];

/** A change of shape after a change of shape becomes one; one that changes nothing goes. */
export function mergeReshapes(graph: Graph): Graph | undefined {
  for (const [at, operator] of graph.operators.entries()) {
    if (!isShapeOnly(operator)) continue;
    const [input, output] = [operator.inputs[0]!, operator.outputs[0]!];
    const { shape } = graph.tensors[output]!;
    if (graph.tensors[input]!.shape.join() === shape.join()) {
      // A network whose output is its input keeps its operator.
      if (graph.outputs.includes(output) && !makerOf(graph, input)) continue;
      return redirected(graph, output, input);
    }
    const maker = makerOf(graph, input);
    if (maker === undefined || !isShapeOnly(maker.operator)) continue;
    const merged = reshape(maker.operator.inputs[0]!, output, shape);
    return replaced(graph, graph.tensors, new Map([[at, [merged]]]));
  }
  return undefined;
}

/** A fully connected layer flattens its input by itself. */
export function dropFlatten(graph: Graph): Graph | undefined {
  for (const [at, operator] of graph.operators.entries()) {
    if (operator.op !== 'FULLY_CONNECTED' || operator.options.keepNumDims) continue;
    const maker = makerOf(graph, operator.inputs[0]!);
    if (maker === undefined || !isShapeOnly(maker.operator)) continue;
    const inputs = [maker.operator.inputs[0]!, ...operator.inputs.slice(1)];
    return replaced(graph, graph.tensors, new Map([[at, [{ ...operator, inputs }]]]));
  }
  return undefined;
}

/**
 * A change of shape before an elementwise float32 operator moves behind it, towards the next change of shape that undoes
 * it: so the layer in front can take the operator in. (Conv1D is CONV_2D between changes of shape.)
 */
export function sinkReshape(graph: Graph): Graph | undefined {
  for (const [at, operator] of graph.operators.entries()) {
    const output = operator.outputs[0]!;
    const { shape, type } = graph.tensors[output]!;
    if (type !== 'float32') continue;
    const moving = operator.inputs.flatMap((index, place) => {
      const maker = makerOf(graph, index);
      return maker && isShapeOnly(maker.operator) ? [{ place, index, from: maker.operator.inputs[0]! }] : [];
    });
    const [first] = moving;
    if (first === undefined || !maySink(graph, operator, moving, shape)) continue;
    const inputs = operator.inputs.map(
      (index, place) => moving.find((move) => move.place === place)?.from ?? index,
    );
    const source = graph.tensors[first.from]!;
    const inner = { name: `${graph.tensors[output]!.name}/inner`, shape: source.shape, type };
    const tensors = [...graph.tensors, inner];
    const moved = { ...operator, inputs, outputs: [graph.tensors.length] } as Operator;
    return replaced(graph, tensors, new Map([[at, [moved, reshape(graph.tensors.length, output, shape)]]]));
  }
  return undefined;
}

interface Move {
  index: number;
  from: number;
}

function maySink(graph: Graph, { op, inputs }: Operator, moving: Move[], shape: number[]): boolean {
  if (unary.includes(op)) return usesOf(graph, moving[0]!.index) === 1;
  if (op !== 'ADD' && op !== 'SUB' && op !== 'MUL') return false;
  const shapes = moving.map(({ from }) => graph.tensors[from]!.shape);
  // All that varies comes from changes of one shape that only this operator reads.
  const times = new Set(inputs).size === 1 ? 2 : 1;
  if (moving.some(({ index }) => usesOf(graph, index) !== times)) return false;
  if (shapes.some((other) => other.join() !== shapes[0]!.join())) return false;
  if (moving.some(({ index }) => graph.tensors[index]!.shape.join() !== shape.join())) return false;
  return inputs.every((index) => {
    if (moving.some((move) => move.index === index)) return true;
    const { data, shape: own } = graph.tensors[index]!;
    if (data === undefined) return false;
    // A constant means the same before and after when it is one value, or one per element of the last axis.
    const [last, before] = [shape.at(-1), shapes[0]!.at(-1)];
    const perChannel = own.length <= 1 || own.slice(0, -1).every((size) => size === 1);
    const fits = own.length <= shapes[0]!.length && own.length <= shape.length;
    return fits && (elementCount(own) === 1 || (perChannel && own.at(-1) === last && last === before));
  });
}

function reshape(input: number, output: number, shape: number[]): Operator {
  return { op: 'RESHAPE', inputs: [input], outputs: [output], options: { newShape: [...shape] } };
}
