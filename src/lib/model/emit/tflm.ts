import { basename } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { elementCount, type OperatorName, type Tensor } from '../../formats/tflite/graph.js';
import { arenaOf, precisionOf } from '../inspect/costs.js';
import { byteLines, cFloat, cName, cText } from './c-text.js';
import type { EmitOptions } from './emit.js';

/** Methods of TFLite Micro's MicroMutableOpResolver (micro_mutable_op_resolver.h), one for each operator. */
const registrations: Readonly<Record<OperatorName, string>> = {
  ADD: 'AddAdd',
  AVERAGE_POOL_2D: 'AddAveragePool2D',
  CONCATENATION: 'AddConcatenation',
  CONV_2D: 'AddConv2D',
  DEPTHWISE_CONV_2D: 'AddDepthwiseConv2D',
  DEQUANTIZE: 'AddDequantize',
  EXPAND_DIMS: 'AddExpandDims',
  FULLY_CONNECTED: 'AddFullyConnected',
  LEAKY_RELU: 'AddLeakyRelu',
  LOGISTIC: 'AddLogistic',
  MAX_POOL_2D: 'AddMaxPool2D',
  MEAN: 'AddMean',
  MUL: 'AddMul',
  PAD: 'AddPad',
  PADV2: 'AddPadV2',
  QUANTIZE: 'AddQuantize',
  REDUCE_MAX: 'AddReduceMax',
  RELU: 'AddRelu',
  RELU6: 'AddRelu6',
  RESHAPE: 'AddReshape',
  SOFTMAX: 'AddSoftmax',
  SPLIT: 'AddSplit',
  SQUEEZE: 'AddSqueeze',
  STRIDED_SLICE: 'AddStridedSlice',
  SUB: 'AddSub',
  TANH: 'AddTanh',
  TRANSPOSE: 'AddTranspose',
};

/**
 * A header and a source file for TFLite Micro. They contain the model's bytes in flash (aligned to 16, as its kernels require), the
 * operators to register, and the arena. They also give sizes and quantization of input and output, and names of the classes.
 * @throws AIOT_QUANTIZE_UNFIT for float16 and dynamic range, which TFLite Micro rejects
 */
export function emitTflm(options: EmitOptions): Map<string, string> {
  const { out, graph } = options;
  const arena = arenaOf(graph);
  if (arena === null)
    throw new AiotError(
      'AIOT_QUANTIZE_UNFIT',
      `--emit tflm: TFLite Micro does not support a ${precisionOf(graph)} model`,
      { next: 'Use --mode int8, int16x8 or float32.' },
    );
  const stem = out.replace(/\.tflite$/, '');
  const names = { header: `${basename(stem)}.h`, space: cName(basename(stem)) };
  return new Map([
    [`${stem}.h`, header(options, names.space, arena)],
    [`${stem}.cc`, source(options, names)],
  ]);
}

function header({ graph, contents, name, classes }: EmitOptions, space: string, arena: number): string {
  const used = [...new Set(graph.operators.map(({ op }) => op))];
  const [input, output] = [graph.tensors[graph.inputs[0]!]!, graph.tensors[graph.outputs[0]!]!];
  const guard = `AIOT_${space.toUpperCase()}_H_`;
  return `// ${cText(name)} for TensorFlow Lite Micro. Made by aiot model quantize; do not edit.
#ifndef ${guard}
#define ${guard}

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

namespace ${space} {

// The .tflite file, aligned to 16 bytes.
constexpr std::size_t kModelSize = ${contents.length};
extern const unsigned char kModel[kModelSize];

// Bytes of tensor arena on a 32-bit chip with the reference kernels; vector kernels (ESP-NN, CMSIS-NN) may want more.
constexpr std::size_t kArenaSize = ${arena};

${end('Input', input)}
${end('Output', output)}${classNames(classes)}
// Operators of the model, each once.
constexpr unsigned int kOperatorCount = ${used.length};
using OpResolver = tflite::MicroMutableOpResolver<kOperatorCount>;

inline TfLiteStatus RegisterOperators(OpResolver& resolver) {
${used.map((op) => `  if (resolver.${registrations[op]}() != kTfLiteOk) return kTfLiteError;`).join('\n')}
  return kTfLiteOk;
}

}  // namespace ${space}

#endif  // ${guard}
`;
}

/** Constants of the input or output: elements, C type, and the mapping between integers and real values. */
function end(what: 'Input' | 'Output', { shape, type, quantization, name }: Tensor): string {
  const [scale, zero] = [quantization?.scale[0], quantization?.zeroPoint[0]];
  const c = type === 'float32' ? 'float' : `std::${type}_t`;
  const lines = [
    `// ${what}: ${cText(name)}, ${type} [${shape.join(', ')}]${scale === undefined ? '' : '; real = scale * (q - zero point)'}.`,
    `constexpr std::size_t k${what}Count = ${elementCount(shape)};`,
    `using ${what}Type = ${c};`,
  ];
  if (scale !== undefined)
    lines.push(
      `constexpr float k${what}Scale = ${cFloat(scale)};`,
      `constexpr int k${what}ZeroPoint = ${zero ?? 0};`,
    );
  return `${lines.join('\n')}\n`;
}

function classNames(classes: readonly string[]): string {
  if (classes.length === 0) return '';
  return `
// Classes in the order of the outputs.
constexpr std::size_t kClassCount = ${classes.length};
extern const char* const kClassNames[kClassCount];
`;
}

function source(
  { contents, classes }: EmitOptions,
  { header: file, space }: { header: string; space: string },
): string {
  const list = classes.map((name) => `    "${cText(name)}",`).join('\n');
  const names = classes.length === 0 ? '' : `\nconst char* const kClassNames[kClassCount] = {\n${list}\n};\n`;
  return `// Made by aiot model quantize; do not edit.
#include "${file}"

namespace ${space} {

alignas(16) const unsigned char kModel[kModelSize] = {
${byteLines(contents)}
};
${names}
}  // namespace ${space}
`;
}
