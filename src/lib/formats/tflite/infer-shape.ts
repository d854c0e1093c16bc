import type { Operator, Tensor } from './graph.js';
import { elementCount } from './tensor-types.js';

/**
 * The shape of an operator's output by those of its inputs. A file stores 1 for each dimension it leaves open, which is wrong
 * behind a RESHAPE that makes rows of an open batch's steps. undefined for operators that keep an open batch in front:
 * what is stored is right for them.
 */
export function inferredShape(operator: Operator, tensors: readonly Tensor[]): number[] | undefined {
  const { op, inputs, options } = operator;
  const shapes = inputs.map((index) => tensors[index]?.shape ?? []);
  const [first = [], second = []] = shapes;
  switch (op) {
    case 'RESHAPE': {
      const given = tensors[inputs[1] ?? -1]?.data;
      const wanted = given instanceof Int32Array ? [...given] : options.newShape;
      return wanted.length === 0 ? undefined : resolved(wanted, elementCount(first));
    }
    case 'FULLY_CONNECTED': {
      const [outputs = 0, columns = 1] = second;
      if (options.keepNumDims) return [...first.slice(0, -1), outputs];
      return [elementCount(first) / columns, outputs];
    }
    case 'ADD':
    case 'SUB':
    case 'MUL':
      return broadcast(first, second);
    case 'RELU':
    case 'RELU6':
    case 'LEAKY_RELU':
    case 'LOGISTIC':
    case 'TANH':
    case 'SOFTMAX':
      return [...first];
    default:
      return undefined;
  }
}

/** The shape with its one −1 worked out. */
function resolved(shape: readonly number[], count: number): number[] | undefined {
  const known = shape.reduce((product, size) => (size === -1 ? product : product * size), 1);
  return shape.map((size) => (size === -1 ? count / known : size));
}

/** NumPy's rule; undefined where it does not apply. */
function broadcast(a: readonly number[], b: readonly number[]): number[] | undefined {
  const rank = Math.max(a.length, b.length);
  const at = (shape: readonly number[], axis: number) => shape[axis - rank + shape.length] ?? 1;
  const sizes = Array.from({ length: rank }, (_, axis) => [at(a, axis), at(b, axis)] as const);
  return sizes.every(([x, y]) => x === y || x === 1 || y === 1)
    ? sizes.map(([x, y]) => Math.max(x, y))
    : undefined;
}
