import { AiotError } from '../../core/errors.js';
import { checkGraph, checkQuantization } from '../../formats/tflite/check.js';
import {
  elementCount,
  type Graph,
  hasFrontEnd,
  isEmpty,
  type Operator,
  type OperatorName,
  type OperatorOptions,
  type Tensor,
} from '../../formats/tflite/graph.js';
import { activationPlaces, rowOf } from '../../formats/tflite/operators.js';
import { Compiler } from '../compiled/compiler.js';
import { compiledKernel } from '../compiled/operators.js';
import * as copies from './copies.js';
import { movesOf } from './copies.js';
import { forest, signals } from './custom.js';
import * as elementwise from './elementwise.js';
import { floatUnary } from './elementwise.js';
import { scaleOf } from './fixed-point.js';
import * as float from './float.js';
import * as floats from './float.js';
import { binary, leakyRelu as floatLeakyRelu } from './float.js';
import * as images from './images.js';
import { convolution, depthwise, fullyConnected, logistic, logSoftmax, softmax, tanh } from './int8.js';
import * as int16 from './int16.js';
import { logistic as logistic16, softmax as softmax16, tanh as tanh16 } from './int16.js';
import {
  averagePool,
  dequantize,
  leakyRelu,
  maxPool,
  mean,
  product,
  quantize,
  relu,
  relu6,
  requantize,
  requantizeWide,
  sum,
  sumOf,
} from './integer.js';
import * as moves from './moves.js';
import { expectReshaped } from './moves.js';
import {
  type Activations,
  type Interpreter,
  type InterpreterOptions,
  type Kernel,
  Node,
  type OnTensor,
  type Operand,
  type Values,
} from './node.js';
import * as recurrent from './recurrent.js';

interface Step {
  outputs: readonly number[];
  /** Number of values that are not computed by compiled operators; see `Interpreter.interpreted`. */
  interpreted: number;
  run: () => void;
}

/**
 * Prepares a model for running. Memory, multipliers and tables are created only here. Operators on int8 and int16 match the integer
 * arithmetic of TFLite Micro's reference kernels bit for bit. Operators on float32 use ordinary floating point.
 * @throws AIOT_TFLITE_MALFORMED if shapes, scales or types contradict each other, AIOT_TFLITE_UNSUPPORTED if an operator has no kernel for
 * its types, as in dynamic range
 */
export function createInterpreter(graph: Graph, options: InterpreterOptions = {}): Interpreter {
  checkGraph(graph);
  checkQuantization(graph);
  checkEnds(graph);
  const compiler = options.compiled ? Compiler.open(graph) : undefined;
  const tensors: (Values | undefined)[] = graph.tensors.map(({ data }) =>
    data instanceof Uint32Array ||
    data instanceof Int8Array ||
    data instanceof Int16Array ||
    data instanceof Float32Array ||
    data instanceof Int32Array ||
    data instanceof Uint8Array
      ? data
      : undefined,
  );
  const states = graph.tensors.flatMap(({ variable }, index) => {
    if (variable === undefined) return [];
    const values = valuesFor(graph.tensors[index]!, `tensor ${index}, a variable`, compiler);
    tensors[index] = values;
    return [{ values, initial: variable as typeof values }];
  });
  /** Outputs that keep their previous values while they are incomplete. */
  const kept = hasFrontEnd(graph) ? graph.operators.filter(({ op }) => op.startsWith('SIGNAL_')) : [];
  const reset = () => {
    for (const { values, initial } of states) values.set(initial);
    for (const { outputs } of kept) for (const index of outputs) tensors[index]?.fill(0);
  };
  reset();
  const inputTensors = graph.inputs.map((index) => graph.tensors[index]!);
  const outputTensors = graph.outputs.map((index) => graph.tensors[index]!);
  const given = inputArrays(inputTensors, compiler);
  graph.inputs.forEach((index, place) => {
    tensors[index] = given.each[place]!;
  });
  const steps: Step[] = [];
  const constant = new Set<number>(graph.tensors.flatMap(({ data }, index) => (data ? [index] : [])));
  for (const [index, operator] of graph.operators.entries()) {
    const fixed = operator.inputs.every((place) => place === -1 || constant.has(place));
    const step = planStep(graph, operator, index, tensors, {
      ...options,
      compiler: fixed ? undefined : compiler,
      constant,
    });
    if (fixed) {
      // An operator that reads only constants (such as the conversion of float16 weights to float32) runs here, once.
      step.run();
      for (const output of step.outputs) constant.add(output);
    } else steps.push(step);
  }
  compiler?.seal();
  const made = graph.outputs.map((index) => tensors[index]!);
  const collected = collector(made);
  const execute = (onTensor: OnTensor | undefined) => {
    if (onTensor !== undefined) for (const index of graph.inputs) onTensor(index, tensors[index]!);
    for (let i = 0; i < steps.length; i++) {
      const step = steps[i]!;
      step.run();
      if (onTensor !== undefined) for (const output of step.outputs) onTensor(output, tensors[output]!);
    }
  };
  return {
    graph,
    inputTensors,
    outputTensors,
    tensors,
    interpreted: steps.reduce((sum, step) => sum + step.interpreted, 0),
    reset,
    invoke: (values, onTensor) => {
      if (given.whole === undefined) throw unsupported('one array for inputs of several types');
      checkInput(values, given.whole, inputTensors);
      given.whole.set(values);
      execute(onTensor);
      return collected();
    },
    run: (inputs, onTensor) => {
      if (inputs.length !== given.each.length)
        throw new AiotError(
          'AIOT_TFLITE_INPUT',
          `expected ${given.each.length} inputs (${inputTensors.map(({ name }) => name).join(', ')}), got ${inputs.length}`,
        );
      inputs.forEach((values, place) => {
        checkInput(values, given.each[place]!, [inputTensors[place]!]);
        given.each[place]!.set(values);
      });
      execute(onTensor);
      return made;
    },
  };
}

/** Memory for the inputs. If all inputs have the same type, they are consecutive parts of one array, `whole`. */
function inputArrays(
  inputs: readonly Tensor[],
  compiler?: Compiler,
): { each: Activations[]; whole: Activations | undefined } {
  const [first] = inputs;
  if (inputs.some(({ type }) => type !== first!.type))
    return {
      each: inputs.map((tensor) => valuesFor(tensor, `the input ${tensor.name}`, compiler)),
      whole: undefined,
    };
  const sizes = inputs.map(({ shape }) => elementCount(shape));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const whole = valuesFor({ ...first!, shape: [total] }, 'the input', compiler);
  let end = 0;
  const each = sizes.map((size) => {
    end += size;
    return whole.subarray(end - size, end);
  });
  return { each, whole };
}

/** Returns a function that copies all outputs into one array. If a network has only one output, that output's array is returned. */
function collector(outputs: readonly Activations[]): () => Activations {
  const [first] = outputs;
  if (outputs.length === 1) return () => first!;
  const kind = Object.getPrototypeOf(first);
  if (outputs.some((output) => Object.getPrototypeOf(output) !== kind))
    return () => {
      throw unsupported('one array for outputs of several types');
    };
  const total = outputs.reduce((sum, { length }) => sum + length, 0);
  const whole = new (first!.constructor as new (length: number) => Activations)(total);
  return () => {
    let at = 0;
    for (const output of outputs) {
      whole.set(output, at);
      at += output.length;
    }
    return whole;
  };
}

/** Operators that compute each value from many products. */
const multiplying: ReadonlySet<OperatorName> = new Set([
  'FULLY_CONNECTED',
  'CONV_2D',
  'DEPTHWISE_CONV_2D',
  'TRANSPOSE_CONV',
  'BATCH_MATMUL',
  'UNIDIRECTIONAL_SEQUENCE_LSTM',
  'SVDF',
]);

interface Planning extends InterpreterOptions {
  /** Compiles operators, if given. */
  compiler: Compiler | undefined;
  /** Tensors whose values are known. */
  constant: ReadonlySet<number>;
}

function planStep(
  graph: Graph,
  operator: Operator,
  index: number,
  tensors: (Values | undefined)[],
  { ratioPrecision = 'double', compiled: wanted, compiler, constant }: Planning,
): Step {
  const where = `operator ${index} (${operator.op})`;
  const operand = (place: number): Operand | undefined =>
    // float16 constants have no array of values, because their DEQUANTIZE reads the tensor's data.
    place === -1 ? undefined : { tensor: graph.tensors[place]!, values: tensors[place] ?? noValues };
  const inputs = operator.inputs.map(operand);
  const shared = sharesMemory(operator.op);
  for (const output of operator.outputs)
    tensors[output] = shared ? inputs[0]!.values : valuesFor(graph.tensors[output]!, where, compiler);
  const outputs = operator.outputs.map((output) => operand(output)!);
  const node = new Node(index, operator, inputs, outputs, ratioPrecision);
  const source = node.input(activationPlaces(operator)[0]!).tensor;
  const { tensor } = outputs[0] ?? node.input(0);
  if (shared) {
    if (tensor.type !== source.type)
      throw node.malformed(`its input has the type ${source.type}, but its output ${tensor.type}`);
    expectReshaped(node, operator);
    return { outputs: operator.outputs, interpreted: 0, run: () => {} };
  }
  const kernel = kernelOf(operator.op, source.type, tensor.type);
  if (kernel === undefined) throw node.unsupported(`${source.type} inputs with ${tensor.type} outputs`);
  const run = kernel(node);
  const isConstant = (place: number) => constant.has(operator.inputs[place] ?? -1);
  const mayCompile = wanted !== 'integers' || source.type !== 'float32';
  const compiled = mayCompile && compiler && compiledKernel(node as Node<never>, compiler, isConstant);
  if (compiled) return { outputs: operator.outputs, interpreted: 0, run: compiled };
  const size = outputs.reduce((sum, { values }) => sum + values.length, 0);
  const interpreted = compiler && !multiplying.has(operator.op) ? size : Number.POSITIVE_INFINITY;
  return { outputs: operator.outputs, interpreted, run };
}

/**
 * Rejects models with more dimensions than a device supports, and inputs or outputs that are not activations
 * (docs/reference/tflite-rules.md).
 */
function checkEnds({ tensors, inputs, outputs }: Graph): void {
  const wide = tensors.findIndex(({ shape }) => shape.length > largestRank);
  if (wide >= 0)
    throw unsupported(
      `the ${tensors[wide]!.shape.length} dimensions of tensor ${wide} (at most ${largestRank})`,
    );
  if (tensors.length > largestTensorCount)
    throw unsupported(`a model of ${tensors.length} tensors (at most ${largestTensorCount})`);
  for (const [end, indices] of [
    ['input', inputs],
    ['output', outputs],
  ] as const) {
    if (indices.length === 0) throw unsupported(`a model without ${end}s`);
    for (const [place, index] of indices.entries()) {
      const tensor = tensors[index];
      if (tensor?.data !== undefined && (end === 'input' || !isEmpty(tensor)))
        throw new AiotError('AIOT_TFLITE_MALFORMED', `the ${end}, tensor ${index}, is a constant`);
      if (end === 'input' && tensors[index]?.type === 'uint64') throw unsupported('an input of uint64');
      if (end === 'input' && indices.indexOf(index) !== place)
        throw new AiotError(
          'AIOT_TFLITE_MALFORMED',
          `tensor ${index} is listed twice as an input of the model`,
        );
    }
  }
}

const largestRank = 6;
const largestTensorCount = 32767;
const noValues = new Int32Array(0);

function valuesFor({ type, shape }: Tensor, where: string, compiler?: Compiler): Activations {
  if (type === 'int16') return new Int16Array(elementCount(shape));
  if (type === 'int8') return compiler?.bytes(elementCount(shape)) ?? new Int8Array(elementCount(shape));
  if (type === 'float32')
    return compiler?.floats(elementCount(shape)) ?? new Float32Array(elementCount(shape));
  if (type === 'int32') return new Int32Array(elementCount(shape));
  if (type === 'bool') return new Uint8Array(elementCount(shape));
  if (type === 'uint32') return new Uint32Array(elementCount(shape));
  if (type === 'uint64') return new Uint32Array(2 * elementCount(shape));
  throw unsupported(`activations of ${type} in ${where} (known: float32, int32, int16, int8, bool)`);
}

function unsupported(what: string): AiotError {
  return new AiotError('AIOT_TFLITE_UNSUPPORTED', `no support for ${what}`);
}

/** @param tensors the inputs whose values `input` contains, one after another */
function checkInput(values: Values, input: Values, tensors: readonly Tensor[]): void {
  if (values.length !== input.length || Object.getPrototypeOf(values) !== Object.getPrototypeOf(input)) {
    const got = `${values.length} in ${Object.prototype.toString.call(values).slice(8, -1)}`;
    const shapes = tensors.map(({ shape }) => `[${shape}]`).join(' and ');
    throw new AiotError(
      'AIOT_TFLITE_INPUT',
      `expected ${input.length} values of ${tensors[0]!.type} ${shapes}, got ${got}`,
    );
  }
  if (!(values instanceof Float32Array)) return;
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i]!))
      throw new AiotError(
        'AIOT_TFLITE_INPUT',
        `value ${i} of the input is ${values[i]}, expected a finite number`,
      );
}

const integer = <K>(kernel: K) => ({ 'int8 int8': kernel, 'int16 int16': kernel });

/** Kernels for an operator that only moves or compares elements. The kernel is the same for all types. */
const moving = <K>(kernel: K) => ({ ...integer(kernel), 'float32 float32': kernel });

/** The same kernel for int32 too, for operators that move or compare elements. */
const movingWide = <K>(kernel: K) => ({ ...moving(kernel), 'int32 int32': kernel });

/** The same kernel for all types, for operators that only move elements. */
const movingAll = <K>(kernel: K) => ({ ...movingWide(kernel), 'bool bool': kernel });

/** Kernels for an operator that only moves elements and supports only float32 and int8. */
const narrow = <K>(kernel: K) => ({ 'int8 int8': kernel, 'float32 float32': kernel });

/** Kernels for a comparison. TFLite Micro compares bool only with EQUAL and NOT_EQUAL. */
const comparing = (holds: (a: number, b: number) => boolean) => ({
  'int8 bool': elementwise.comparison(holds),
  'float32 bool': elementwise.comparison(holds),
  'int32 bool': elementwise.comparison(holds),
});

/** Kernels by the types of the first activation and the output. */
const kernels: {
  readonly [Name in OperatorName]: Readonly<Record<string, Kernel<OperatorOptions[Name]>>>;
} = {
  FULLY_CONNECTED: {
    'int8 int8': fullyConnected,
    'int16 int16': int16.fullyConnected,
    'float32 float32': float.fullyConnected,
  },
  CONV_2D: {
    'int8 int8': convolution,
    'int16 int16': int16.convolution,
    'float32 float32': float.convolution,
  },
  DEPTHWISE_CONV_2D: {
    'int8 int8': depthwise,
    'int16 int16': int16.depthwise,
    'float32 float32': float.depthwise,
  },
  UNIDIRECTIONAL_SEQUENCE_LSTM: { ...integer(recurrent.lstm), 'float32 float32': recurrent.floatLstm },
  SVDF: { 'int8 int8': recurrent.svdf, 'float32 float32': recurrent.floatSvdf },
  MAX_POOL_2D: { ...integer(maxPool), 'float32 float32': floats.maxPool },
  AVERAGE_POOL_2D: { ...integer(averagePool), 'float32 float32': floats.averagePool },
  MEAN: { ...integer(mean), 'float32 float32': floats.mean },
  SUM: { ...integer(sumOf), 'float32 float32': floats.sum },
  REDUCE_MAX: moving(moves.reduceMax),
  REDUCE_MIN: moving(moves.reduceMin),
  ARG_MAX: { 'int8 int32': moves.argMax, 'float32 int32': moves.argMax },
  ARG_MIN: { 'int8 int32': moves.argMin, 'float32 int32': moves.argMin },
  ADD: {
    ...integer(sum(1)),
    'float32 float32': binary((a, b) => a + b),
    'int32 int32': elementwise.wide((a, b) => a + b),
  },
  SUB: {
    ...integer(sum(-1)),
    'float32 float32': binary((a, b) => a - b),
    'int32 int32': elementwise.wide((a, b) => a - b),
  },
  MUL: {
    ...integer(product),
    'float32 float32': binary((a, b) => a * b),
    'int32 int32': elementwise.wide(Math.imul),
  },
  DIV: {
    'int8 int8': elementwise.integerQuotient,
    'float32 float32': binary((a, b) => a / b),
    'int32 int32': elementwise.quotient,
  },
  FLOOR_MOD: { 'float32 float32': elementwise.floatFloorMod as Kernel },
  MAXIMUM: movingWide(elementwise.choice((a, b) => !(a > b))),
  MINIMUM: movingWide(elementwise.choice((a, b) => !(a < b))),
  SQUARED_DIFFERENCE: {
    ...integer(elementwise.squaredDifference),
    'float32 float32': elementwise.floatSquaredDifference as Kernel,
    'int32 int32': elementwise.wide((a, b) => Math.imul(a - b, a - b)),
  },
  EQUAL: { ...comparing((a, b) => a === b), 'bool bool': elementwise.comparison((a, b) => a === b) },
  NOT_EQUAL: { ...comparing((a, b) => a !== b), 'bool bool': elementwise.comparison((a, b) => a !== b) },
  GREATER: comparing((a, b) => a > b),
  GREATER_EQUAL: comparing((a, b) => a >= b),
  LESS: comparing((a, b) => a < b),
  LESS_EQUAL: comparing((a, b) => a <= b),
  LOGICAL_AND: { 'bool bool': elementwise.logical((a, b) => a && b) },
  LOGICAL_OR: { 'bool bool': elementwise.logical((a, b) => a || b) },
  LOGICAL_NOT: { 'bool bool': elementwise.not },
  CAST: elementwise.casts,
  SELECT_V2: movingAll(elementwise.select),
  PRELU: { ...integer(elementwise.prelu), 'float32 float32': elementwise.floatPrelu },
  ABS: { ...integer(elementwise.abs), 'float32 float32': floatUnary.ABS },
  RSQRT: { ...integer(elementwise.rsqrt), 'float32 float32': floatUnary.RSQRT },
  ELU: { 'int8 int8': elementwise.elu, 'float32 float32': floatUnary.ELU },
  HARD_SWISH: { 'int8 int8': elementwise.hardSwish, 'float32 float32': floatUnary.HARD_SWISH },
  // TFLite Micro has only float32 kernels for these operators.
  NEG: { 'float32 float32': floatUnary.NEG },
  SQRT: { 'float32 float32': floatUnary.SQRT },
  SQUARE: { 'float32 float32': floatUnary.SQUARE },
  EXP: { 'float32 float32': floatUnary.EXP },
  LOG: { 'float32 float32': floatUnary.LOG },
  SIN: { 'float32 float32': floatUnary.SIN },
  COS: { 'float32 float32': floatUnary.COS },
  FLOOR: { 'float32 float32': floatUnary.FLOOR },
  CEIL: { 'float32 float32': floatUnary.CEIL },
  ROUND: { 'float32 float32': floatUnary.ROUND },
  TRANSPOSE_CONV: {
    'int8 int8': images.transposeConv,
    'int16 int16': images.wideTransposeConv,
    'float32 float32': images.floatTransposeConv,
  },
  BATCH_MATMUL: { ...integer(images.batchMatmul), 'float32 float32': images.floatBatchMatmul },
  L2_NORMALIZATION: { 'int8 int8': images.l2, 'float32 float32': images.floatL2 },
  RESIZE_BILINEAR: { ...integer(images.bilinear), 'float32 float32': images.floatBilinear },
  RESIZE_NEAREST_NEIGHBOR: moving(images.nearest),
  PACK: movingWide(copies.moving(movesOf.PACK)),
  UNPACK: movingWide(copies.moving(movesOf.UNPACK)),
  SLICE: movingAll(copies.moving(movesOf.SLICE)),
  // TFLite Micro has no int16 kernels for these operators.
  GATHER: { ...narrow(copies.gather), 'int32 int32': copies.gather, 'bool bool': copies.gather },
  DEPTH_TO_SPACE: narrow(copies.moving(movesOf.DEPTH_TO_SPACE)),
  SPACE_TO_DEPTH: narrow(copies.moving(movesOf.SPACE_TO_DEPTH)),
  SPACE_TO_BATCH_ND: narrow(copies.moving(movesOf.SPACE_TO_BATCH_ND)),
  BATCH_TO_SPACE_ND: narrow(copies.moving(movesOf.BATCH_TO_SPACE_ND)),
  FILL: { ...narrow(images.fill), 'int32 int32': images.fill },
  CONCATENATION: movingAll(moves.concatenation),
  PAD: {
    ...integer(moves.pad(zeroOf)),
    'float32 float32': moves.pad(() => 0),
    'int32 int32': moves.pad(() => 0),
  },
  PADV2: movingWide(moves.pad(moves.padValue)),
  MIRROR_PAD: narrow(copies.moving(movesOf.MIRROR_PAD)),
  BROADCAST_TO: movingAll(copies.moving(movesOf.BROADCAST_TO)),
  REVERSE_V2: movingAll(copies.moving(movesOf.REVERSE_V2)),
  TRANSPOSE: moving(moves.transpose),
  SPLIT: movingWide(moves.split),
  SPLIT_V: movingWide(moves.splitSizes),
  READ_VARIABLE: movingAll(moves.read),
  ASSIGN_VARIABLE: movingAll(moves.assign),
  STRIDED_SLICE: movingAll(moves.stridedSlice),
  SOFTMAX: {
    'int8 int8': softmax,
    'int8 int16': softmax,
    'int16 int16': softmax16,
    'float32 float32': floats.softmax,
  },
  LOG_SOFTMAX: { 'int8 int8': logSoftmax, 'float32 float32': floats.logSoftmax },
  LOGISTIC: {
    'int8 int8': logistic,
    'int16 int16': logistic16,
    'float32 float32': floats.elementwise((x) => 1 / (1 + Math.exp(-x))),
  },
  TANH: { 'int8 int8': tanh, 'int16 int16': tanh16, 'float32 float32': floats.elementwise(Math.tanh) },
  RELU: { ...integer(relu), 'float32 float32': floats.elementwise((x) => (x < 0 ? 0 : x)) },
  RELU6: {
    ...integer(relu6),
    'float32 float32': floats.elementwise((x) => (x < 0 ? 0 : x > 6 ? 6 : x)),
  },
  LEAKY_RELU: { ...integer(leakyRelu), 'float32 float32': floatLeakyRelu },
  QUANTIZE: {
    ...integer(requantize),
    'int8 int16': requantize,
    'int16 int8': requantize,
    'int8 int32': requantizeWide,
    'int16 int32': requantizeWide,
    'int32 int8': requantizeWide,
    'int32 int16': requantizeWide,
    'float32 int8': quantize,
    'float32 int16': quantize,
  },
  DEQUANTIZE: {
    'int8 float32': dequantize,
    'int16 float32': dequantize,
    'float16 float32': floats.fromFloat16,
  },
  FOREST: { 'float32 float32': forest as Kernel },
  ...signals,
  // These operators only change the shape, so their output shares the input's memory.
  RESHAPE: {},
  EXPAND_DIMS: {},
  SQUEEZE: {},
};

/** A graph's operator with its tensors but without their values, for code generation. */
export function nodeAt(graph: Graph, index: number): Node<never> {
  const operator = graph.operators[index]!;
  const operand = (place: number) => ({ tensor: graph.tensors[place]!, values: noValues });
  const inputs = operator.inputs.map((place) => (place === -1 ? undefined : operand(place)));
  return new Node<never>(index, operator, inputs, operator.outputs.map(operand), 'double');
}

/** Types of the activations that kernels read. */
type KernelType = 'int8' | 'int16' | 'int32' | 'float32' | 'bool';

/** Whether an operator has a kernel that reads and outputs activations of this type. */
export function hasKernel(op: OperatorName, type: KernelType): boolean {
  const { yields = type } = rowOf(op);
  return sharesMemory(op) || kernelOf(op, type, yields) !== undefined;
}

/** Whether TFLite Micro also has a kernel for this operator and type. The quantizer uses only such kernels. */
export function hasMicroKernel(op: OperatorName, type: KernelType): boolean {
  const { lacks } = rowOf(op).micro;
  return hasKernel(op, type) && !lacks?.some((lacking) => lacking === type);
}

/** The integer that represents the real value 0. */
function zeroOf(node: Node): number {
  return scaleOf(node, node.output).zeroPoint;
}

/** Whether the operator leaves the elements unchanged, so that the output can share the input's memory. */
function sharesMemory(op: OperatorName): boolean {
  return op === 'RESHAPE' || op === 'EXPAND_DIMS' || op === 'SQUEEZE';
}

/** The kernel for these types, or undefined. */
function kernelOf(op: OperatorName, input: string, output: string): Kernel | undefined {
  // The kernel was selected according to the operator, so the node has the options that the kernel expects.
  return kernels[op][`${input} ${output}`] as Kernel | undefined;
}
