import type { OperatorName } from '../../formats/tflite/graph.js';
import type { Node } from '../interpreter/node.js';
import { clampFour, f32x4 } from './assembler.js';
import type { Compiler } from './compiler.js';
import { dequantize8, mean8, pool8, quantize8, sum8 } from './integer-vectors.js';
import { convolution8, depthwise8, fullyConnected8 } from './integers.js';
import { convolution, fullyConnected } from './products.js';
import { binary, concatenation, leakyRelu, pad, reduce, unary } from './vectors.js';
import { bilinear, depthwise, pool } from './windows.js';

type CompiledKernel = (node: Node<never>, compiler: Compiler) => (() => void) | undefined;

type Kernels = Partial<Record<OperatorName, CompiledKernel>>;

/** Kernels by the types of input and output. A kernel returns undefined if it does not support the node's shapes. */
const kernelsOf: Readonly<Record<string, Kernels>> = {
  'float32 float32': {
    FULLY_CONNECTED: fullyConnected,
    CONV_2D: convolution,
    DEPTHWISE_CONV_2D: depthwise,
    MAX_POOL_2D: pool('largest'),
    AVERAGE_POOL_2D: pool('mean'),
    MEAN: reduce('mean'),
    SUM: reduce('sum'),
    ADD: binary(f32x4.add),
    SUB: binary(f32x4.sub),
    MUL: binary(f32x4.mul),
    DIV: binary(f32x4.div),
    RELU: unary((x) => clampFour(x, 0, Number.POSITIVE_INFINITY)),
    RELU6: unary((x) => clampFour(x, 0, 6)),
    LEAKY_RELU: leakyRelu,
    PAD: pad,
    RESIZE_BILINEAR: bilinear,
    CONCATENATION: concatenation,
  },
  // Integers are the same as the interpreter's.
  'int8 int8': {
    FULLY_CONNECTED: fullyConnected8,
    CONV_2D: convolution8,
    DEPTHWISE_CONV_2D: depthwise8,
    MAX_POOL_2D: pool8('largest'),
    AVERAGE_POOL_2D: pool8('mean'),
    MEAN: mean8,
    ADD: sum8(1),
    SUB: sum8(-1),
  },
  'float32 int8': { QUANTIZE: quantize8 },
  'int8 float32': { DEQUANTIZE: dequantize8 },
};

/**
 * Compiles an operator for its shapes and the addresses of its tensors. Returns undefined if it has no compiled kernel, and then its
 * ordinary kernel, which also checked the node, must run.
 * @param isConstant whether the input in a place is constant
 */
export function compiledKernel(
  node: Node<never>,
  compiler: Compiler,
  isConstant: (place: number) => boolean,
): (() => void) | undefined {
  const { op } = node.operator;
  if (isConstant(0)) return undefined;
  if (weighted.has(op) && !(isConstant(1) && (node.inputs[2] === undefined || isConstant(2))))
    return undefined;
  return kernelsOf[`${node.inputs[0]?.tensor.type} ${node.outputs[0]?.tensor.type}`]?.[op]?.(node, compiler);
}

const weighted: ReadonlySet<OperatorName> = new Set(['FULLY_CONNECTED', 'CONV_2D', 'DEPTHWISE_CONV_2D']);
