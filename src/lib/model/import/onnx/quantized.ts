import { elementCount } from '../../../formats/tflite/graph.js';
import { malformed, unsupported } from '../errors.js';
import type { Lower } from './call.js';
import { NodeCall } from './call.js';
import { asReal, asWhole } from './choices.js';
import { type Constant, constantOf, elementTypeOf } from './constants.js';
import { fold } from './fold.js';
import { gemm, product } from './linear.js';
import { type Activation, isNonNegative, type OnnxMaker, type Value } from './maker.js';
import { axisIn } from './node.js';
import { clipped, plainUnary, quotient, scalar, unary } from './pointwise.js';
import { convolution } from './windows.js';

/** Smallest integer of each element type. */
const leastOf: Readonly<Record<string, number>> = { int8: -128, uint8: 0, int16: -32_768, uint16: 0 };

/**
 * Passes real values through, because `aiot model quantize` chooses its own scales unless it is to keep the file's. Quantizers remove a
 * Relu if the integer range starts at 0, which cuts off negative values; that Relu is restored here.
 */
const quantize: Lower = (call) => {
  if (call.inputs.slice(1).some((value) => value?.kind === 'activation')) return quantizedInRun(call);
  const zero = call.optional(2, 'zero point') ?? zeroOfStatedType(call);
  const y = clampedAt(call.maker, call.x(), zero);
  call.maker.noteScale(y, call.constant(1, 'scale'), zero);
  return y;
};

/** Without a zero point, the attribute output_dtype states the type, or it is uint8. */
function zeroOfStatedType(call: NodeCall): Constant | undefined {
  const code = call.attributes.integer('output_dtype', 0);
  return code === 0 ? undefined : constantOf(elementTypeOf(code, call.where), [], [0]);
}

/** The integers themselves, because the model computes their scale. */
function quantizedInRun(call: NodeCall): Activation {
  const { maker } = call;
  const stated = zeroOfStatedType(call);
  const [scale, zero] = [call.value(1), call.inputs[2] ?? stated];
  const type = zero?.kind === 'activation' ? (zero.element ?? stated?.type) : (zero?.type ?? 'uint8');
  if (type === undefined)
    throw unsupported(
      call.where,
      'the type of its computed zero point is unknown',
      'convert the zero point to int8 or uint8 with Cast before it',
    );
  if ((type !== 'int8' && type !== 'uint8') || elementCount(scale.shape) !== 1)
    throw unsupported(
      call.where,
      `it computes ${elementCount(scale.shape)} scales of ${type}`,
      'use one scale of int8 or uint8',
    );
  return integersOf(maker, call.x(), scale, zero ?? scalar(0), type);
}

/** round(x / scale) + zero point, within the range of the type. */
function integersOf(
  maker: OnnxMaker,
  x: Activation,
  scale: Value,
  zero: Value,
  type: 'int8' | 'uint8',
): Activation {
  const steps = plainUnary(maker, 'ROUND', quotient(maker, x, scale));
  const least = leastOf[type]!;
  const y = clipped(maker, maker.two('ADD', steps, asReal(maker, zero)), least, least + 255);
  return { ...asWhole(maker, y), element: type };
}

function clampedAt(maker: OnnxMaker, x: Activation, zero: Constant | undefined): Activation {
  const least = leastOf[zero?.type ?? 'uint8'];
  const beginsAtZero =
    least !== undefined && (zero === undefined ? least === 0 : zero.data.every((value) => value === least));
  if (!beginsAtZero || isNonNegative(maker, x)) return x;
  return unary(maker, 'RELU', x);
}

const dequantize: Lower = (call) => {
  const x = call.x();
  const { maker } = call;
  if (!maker.isWhole(x)) {
    call.constant(1, 'scale');
    return x;
  }
  const [scale, zero] = [
    alongAxis(call, call.value(1), x),
    call.inputs[2] && alongAxis(call, call.inputs[2], x),
  ];
  const centered = zero ? maker.two('SUB', asReal(maker, x), asReal(maker, zero)) : asReal(maker, x);
  return maker.two('MUL', centered, scale);
};

/** A scale or zero point, shaped so that it is broadcast along the axis that the attribute states. */
function alongAxis(call: NodeCall, value: Value, { shape }: Activation): Value {
  const count = elementCount(value.shape);
  if (count === 1) return value;
  const { attributes, maker, where } = call;
  if (attributes.integer('block_size', 0) !== 0 || value.shape.length !== 1)
    throw unsupported(where, 'scales of blocks are not supported', 'use one scale, or one for each channel');
  const axis = axisIn(attributes.integer('axis', 1), shape.length, where);
  if (count !== shape[axis])
    throw malformed(
      `${where}: expected ${shape[axis]} scales and zero points along axis ${axis}, got ${count}`,
    );
  const wide = shape.map((size, k) => (k === axis ? size : 1));
  return value.kind === 'constant' ? { ...value, shape: wide } : maker.reshaped(value, wide);
}

/**
 * An operator on integers, whose input and output have scales.
 * @param place position of the output's scale, before its zero point @param y makes the output from the input
 */
function onIntegers(call: NodeCall, place: number, y: () => Activation): Activation {
  call.maker.noteScale(call.x(), call.constant(1, 'input scale'), call.optional(2, 'zero point'));
  const zero = call.optional(place + 1, 'zero point');
  const output = clampedAt(call.maker, y(), zero);
  call.maker.noteScale(output, call.constant(place, 'output scale'), zero);
  return output;
}

/** A node's constants as real numbers. @param places positions of the integers, their scale and their zero point */
function real(call: NodeCall, [x, scale, zero]: [number, number, number], axis: number): Constant {
  const [integers, factor] = [call.constant(x, 'weights'), call.constant(scale, 'scale')];
  const offset = call.optional(zero, 'zero point');
  const isScalar = factor.data.length === 1;
  const shape = integers.shape.map((size, k) => (k === axis ? size : 1));
  const spread = (each: Constant): Constant => (isScalar ? { ...each, shape: [] } : { ...each, shape });
  const step = (op: string, inputs: Constant[]) =>
    fold({
      op,
      inputs,
      attributes: call.attributes,
      outputs: 1,
      opset: call.opset,
      budget: call.maker.budget,
      where: call.where,
    })![0]!;
  const asReal: Constant = { ...integers, type: 'float32' };
  const centered = offset ? step('Sub', [asReal, spread(offset)]) : asReal;
  return { ...step('Mul', [centered, spread(factor)]), type: 'float32' };
}

/**
 * Inputs: x, the weights and the output, each with a scale and zero point, and an int32 bias. The bias's scale is the product of the scales
 * of x and the weights.
 */
const quantizedConvolution: Lower = (call) => {
  const inner = withInputs(call, [call.x(), real(call, [3, 4, 5], 0), realBias(call, 8)]);
  return onIntegers(call, 6, () => convolution(inner) as Activation);
};

/** An int32 bias in steps of the input's and the weights' scales, as real numbers. */
function realBias(call: NodeCall, place: number, factor = 1): Constant | undefined {
  const [input, scale] = [call.constant(1, 'input scale'), call.constant(4, 'scale')];
  const bias = call.optional(place, 'bias');
  const stepOf = (k: number) => input.data[0]! * scale.data[scale.data.length === 1 ? 0 : k]! * factor;
  return (
    bias &&
    constantOf(
      'float32',
      bias.shape,
      bias.data.map((value, k) => value * stepOf(k)),
    )
  );
}

/**
 * ONNX Runtime's Gemm on integers. Unlike for a convolution, the bias comes before the output's scale; without that scale, outputs are
 * real.
 */
const quantizedGemm: Lower = (call) => {
  if (call.optional(7, 'output scale') === undefined)
    throw unsupported(call.where, 'its output has no scale', 'quantize in the format QDQ');
  const isTransposed = call.attributes.integer('transB', 0) !== 0;
  const alpha = call.attributes.float('alpha', 1);
  const weights = real(call, [3, 4, 5], isTransposed ? 0 : 1);
  const inner = withInputs(call, [call.x(), weights, realBias(call, 6, alpha)]);
  return onIntegers(call, 7, () => gemm(inner) as Activation);
};

const quantizedProduct: Lower = (call) =>
  onIntegers(call, 6, () => product(call, call.x(), real(call, [3, 4, 5], 1)));

function withInputs(call: NodeCall, inputs: NodeCall['inputs']): NodeCall {
  return new NodeCall(
    call.maker,
    call.op,
    call.where,
    inputs,
    call.attributes,
    call.outputs,
    call.isRead,
    call.opset,
  );
}

export const quantizedRows: Readonly<Record<string, Lower>> = {
  DequantizeLinear: dequantize,
  QLinearConv: quantizedConvolution,
  QLinearMatMul: quantizedProduct,
  QuantizeLinear: quantize,
  'com.microsoft:QGemm': quantizedGemm,
};
