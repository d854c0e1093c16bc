import { malformed } from './errors.js';
import type { Operator, Tensor } from './graph.js';
import { inferredShape } from './infer-shape.js';
import { otherOperator } from './other-operators.js';
import { type ShapeOperator, shapeRows } from './shape-operators.js';
import { sliceAxes } from './strided-slice.js';
import { elementCount } from './tensor-types.js';

export interface Folded {
  tensors: Tensor[];
  operators: Operator[];
  /** How many operators became constants. */
  count: number;
}

/**
 * Computes the shape arithmetic of a file now: a file with an open batch has chains such as SHAPE → STRIDED_SLICE → PACK
 * in front of its RESHAPEs, all of int32, whose results are constants once the batch is 1. Shapes that follow from them are
 * put right on the way.
 * @param isOpen whether the file leaves dimensions of a tensor open
 * @throws AIOT_TFLITE_UNSUPPORTED for a shape operator that works on activations
 */
export function foldShapes(
  tensors: readonly Tensor[],
  operators: readonly (Operator | ShapeOperator)[],
  isOpen: (index: number) => boolean = () => false,
): Folded {
  const known = [...tensors];
  const left: Operator[] = [];
  operators.forEach((operator, index) => {
    const output = known[operator.outputs[0] ?? -1];
    const values = output?.type === 'int32' ? valuesOf(operator, known) : undefined;
    if (values !== undefined && output !== undefined) {
      if (values.length !== elementCount(output.shape))
        throw malformed(
          `operator ${index} (${operator.op})`,
          `it makes ${values.length} values for a shape of [${output.shape}]`,
        );
      known[operator.outputs[0]!] = { ...output, data: Int32Array.from(values) };
    } else if (isShapeOperator(operator)) throw otherOperator(index, shapeRows[operator.op].code, '');
    else {
      left.push(operator);
      setShape(known, operator, isOpen);
    }
  });
  return { tensors: known, operators: left, count: operators.length - left.length };
}

function setShape(tensors: Tensor[], operator: Operator, isOpen: (index: number) => boolean): void {
  const [index = -1] = operator.outputs;
  const output = tensors[index];
  if (output === undefined || !isOpen(index)) return;
  const shape = inferredShape(operator, tensors);
  if (shape?.every((size) => Number.isInteger(size) && size > 0)) tensors[index] = { ...output, shape };
}

function isShapeOperator(operator: Operator | ShapeOperator): operator is ShapeOperator {
  return operator.op in shapeRows;
}

/** The int32 values an operator gives, or undefined when they are not known. Vectors and scalars only. */
function valuesOf(operator: Operator | ShapeOperator, tensors: readonly Tensor[]): number[] | undefined {
  if (operator.op === 'SHAPE') return tensors[operator.inputs[0]!]?.shape;
  const inputs: number[][] = [];
  for (const place of operator.inputs) {
    const tensor = tensors[place];
    if (!(tensor?.data instanceof Int32Array) || tensor.shape.length > 1) return undefined;
    inputs.push([...tensor.data]);
  }
  const [first = [], second = []] = inputs;
  switch (operator.op) {
    case 'PACK':
    case 'CONCATENATION':
      return inputs.flat();
    case 'GATHER': {
      const taken = second.map((at) => first[at]);
      return taken.includes(undefined) ? undefined : (taken as number[]);
    }
    case 'REDUCE_PROD':
      return [first.reduce((product, value) => product * value, 1)];
    case 'STRIDED_SLICE': {
      const bounds = [second, inputs[2] ?? [], inputs[3] ?? []] as const;
      const axis = sliceAxes([first.length], bounds, operator.options)?.[0];
      return axis && Array.from({ length: axis.count }, (_, i) => first[axis.first + i * axis.step]!);
    }
    case 'ADD':
      return first.map((value, i) => value + second[i % second.length]!);
    case 'MUL':
      return first.map((value, i) => value * second[i % second.length]!);
    case 'RESHAPE':
    case 'EXPAND_DIMS':
    case 'SQUEEZE':
      return first;
    default:
      return undefined;
  }
}
