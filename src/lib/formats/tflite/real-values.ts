import { type Graph, type Tensor, withoutUnused } from './graph.js';

/**
 * The model with real numbers: every quantized tensor is float32, the weights' integers are real values, and there is no QUANTIZE or
 * DEQUANTIZE. The weights' rounding errors remain. Tensor indices do not change, except in float16 files.
 */
export function withRealValues(graph: Graph): Graph {
  const { tensors, operators, inputs, outputs, ...rest } = withFloatConstants(graph);
  const sources = new Map<number, number>();
  const source = (index: number) => sources.get(index) ?? index;
  const kept = operators.flatMap((operator) => {
    const read = operator.inputs.map(source);
    if (operator.op !== 'QUANTIZE' && operator.op !== 'DEQUANTIZE') return [{ ...operator, inputs: read }];
    sources.set(operator.outputs[0]!, read[0]!);
    return [];
  });
  return { ...rest, tensors: tensors.map(realTensor), operators: kept, inputs, outputs: outputs.map(source) };
}

/** Converts a quantized tensor to float32; returns any other tensor unchanged. */
export function realTensor(tensor: Tensor): Tensor {
  const { name, shape, type, quantization } = tensor;
  const data = tensor.data ?? tensor.variable;
  if (!quantization || type === 'float32') return tensor;
  if (!data) return { name, shape, type: 'float32' };
  const { scale, zeroPoint, axis } = quantization;
  const block = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const values = Float32Array.from(data as Iterable<number | bigint> & ArrayLike<number | bigint>, (q, i) => {
    const channel = scale.length === 1 ? 0 : Math.floor(i / block) % scale.length;
    return scale[channel]! * (Number(q) - zeroPoint[channel]!);
  });
  return { name, shape, type: 'float32', ...(tensor.variable ? { variable: values } : { data: values }) };
}

/**
 * The graph with float32 constants in place of float16 constants and their DEQUANTIZE operators, as in files with float16 weights.
 * Nothing else changes. A graph without such constants is returned unchanged.
 */
export function withFloatConstants(graph: Graph): Graph {
  const tensors: Tensor[] = [...graph.tensors];
  const operators = graph.operators.filter(({ op, inputs, outputs }) => {
    const { data, type } = graph.tensors[inputs[0] ?? -1] ?? {};
    if (op !== 'DEQUANTIZE' || type !== 'float16' || !(data instanceof Uint16Array)) return true;
    const output = outputs[0]!;
    tensors[output] = { ...tensors[output]!, data: float16Values(data) };
    return false;
  });
  return operators.length === graph.operators.length
    ? graph
    : withoutUnused({ ...graph, tensors, operators });
}

/** Largest finite value of IEEE 754 binary16. */
export const largestFloat16 = 65504;

/** Converts IEEE 754 binary16 words to numbers. */
export function float16Values(words: Uint16Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(words, float16Value);
}

/** Converts one IEEE 754 binary16 word. */
export function float16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/**
 * Converts numbers to IEEE 754 binary16 words, rounded to nearest, ties to even (IEEE 754-2019, 4.3.1). Values beyond ±65504 by
 * half a step or more become infinite; NaN remains NaN.
 */
export function float16Words(values: Float32Array): Uint16Array<ArrayBuffer> {
  return Uint16Array.from(values, float16Word);
}

function float16Word(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size >= largestFloat16 + 16) return sign | 0x7c00;
  // A step is 2^(exponent − 10), or 2^−24 below the smallest normal number.
  const exponent = Math.max(Math.floor(Math.log2(size || 1)), -14);
  const steps = roundEven(size / 2 ** (exponent - 10));
  // The encoding is continuous: 2048 steps carry into the exponent, and 1024 steps are the first normal number.
  return sign | (steps < 1024 ? steps : ((exponent + 15) << 10) + (steps - 1024));
}

function roundEven(x: number): number {
  const whole = Math.floor(x);
  const rest = x - whole;
  if (rest !== 0.5) return rest < 0.5 ? whole : whole + 1;
  return whole % 2 === 0 ? whole : whole + 1;
}
