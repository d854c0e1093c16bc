/** Operators that convert between types, which the columns of types do not describe. */
const conversions = {
  QUANTIZE: 'float32 → int8 or int16, between these, and between int8 and uint8',
  DEQUANTIZE: 'int8, int16 or float16 → float32',
  FOREST: 'float32 → float32; integers in between',
};

/** Names of the operators in the table of firmware/core/src/kernels.c, and FOREST. */
export function firmwareOperators(/** @type {string} */ source) {
  // Decision trees are read in place, by firmware/core/src/forest.c.
  return new Set(['FOREST', ...[...source.matchAll(/^ {4}\{AIOT_(\w+),/gm)].map(([, name = '']) => name)]);
}

/**
 * docs/reference/tflite-operators.md: the operators that each part supports, from the tables that these parts use.
 * @param {object} input
 * @param {readonly string[]} input.operators names in the schema
 * @param {(op: any, type: any) => boolean} input.hasKernel whether the device interpreter has a kernel
 * @param {(op: any, type: any) => boolean} input.hasMicroKernel whether TFLite Micro has one, too
 * @param {(op: any) => boolean} input.hasC whether `--emit c` writes it
 * @param {ReadonlySet<string>} input.firmware operators of the firmware
 * @returns {string} Markdown
 */
export function operatorsPage({ operators, hasKernel, hasMicroKernel, hasC, firmware }) {
  const mark = (/** @type {boolean} */ has) => (has ? 'yes' : '–');
  const kernel = (/** @type {string} */ op, /** @type {string} */ type) =>
    hasKernel(op, type) && !hasMicroKernel(op, type) ? 'LiteRT' : mark(hasKernel(op, type));
  const rows = [...operators].sort().map((op) => {
    const conversion = conversions[/** @type {keyof typeof conversions} */ (op)];
    const types = ['float32', 'int8', 'int16'].map((type) => kernel(op, type));
    const cells = conversion === undefined ? types : [conversion, '', ''];
    return `| ${op} | ${[...cells, mark(hasC(op)), mark(firmware.has(op))].join(' | ')} |`;
  });
  return `# TFLite operators

<!-- Written by npm run docs from src/lib/formats/tflite/operators, the interpreter's and the generator's tables, and firmware/core/src/kernels.c. -->

This page lists the supported operators of \`.tflite\` files by the type of their activations. aiot can read and write every listed operator. int16 means int16 activations with int8
weights. "LiteRT" means that LiteRT and aiot have this kernel, but TensorFlow Lite Micro does not. \`--emit c\` and the firmware support int8, and [FOREST](#decision-trees). A file may also contain SHAPE and REDUCE_PROD if they compute
constants, and TILE by at most 10, which becomes CONCATENATION. SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND around a convolution become its dilation.
VAR_HANDLE and CALL_ONCE define a file's [variables](#variables). WHILE and IF are [control flow](#loops).

| operator | float32 | int8 | int16 | \`--emit c\` | firmware |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}

## Variables

A streaming model keeps values in variables from one run to the next, with VAR_HANDLE, READ_VARIABLE and ASSIGN_VARIABLE. A CALL_ONCE names a second subgraph, which
assigns their initial values. SVDF and UNIDIRECTIONAL_SEQUENCE_LSTM keep their state in variables of their own, which start with zeros. One run is one step of the stream. The values belong to the session that runs the model:

| where | variables get their initial values |
| --- | --- |
| \`createInterpreter\` | at the start and after \`reset()\` |
| \`aiot model evaluate\` | at the first row, and at the first row of each recording if the table has a column of recordings |
| \`aiot model compare\` | at the first row |
| \`aiot loop run\`, firmware | at the start, and after lost samples |
| virtual devices | at the start |
| golden vectors | before each vector |
| \`--emit c\` | at the start and after \`model_reset()\` |

\`evaluate\` and \`compare\` need \`--runtime device\` for such a model, because LiteRT cannot reset variables. \`aiot model quantize\` rejects it.

A recurrent layer of Keras that is not stateful starts each window with zeros, but its converted operator continues from the state of the previous window. Reset the session before each
window of such a model.

A uint8 input or output is treated as int8, with each value and the zero point reduced by 128.

## Loops

TensorFlow's converter writes a recurrent layer of Keras as a WHILE, or as UNIDIRECTIONAL_SEQUENCE_LSTM. If the number of steps is fixed, aiot unrolls the loop as it reads the file: the
graph contains the operators of every step, and shares the weights. An IF with a constant condition becomes one of its branches. So the table above, the quantizer, \`--emit c\` and the
firmware also apply to such files. To fix the number of steps, give the model a fixed batch: \`keras.Input(batch_shape=(1, 50, 3))\`. With a dynamic batch, the converter writes Flex
operators, which aiot rejects. Loops have at most 4,096 steps. A loop whose end depends on the data is rejected.

## Decision trees

FOREST is a custom operator (\`AIOT_FOREST\`) that outputs the sums of the leaves that a row reaches. \`aiot model train\` (\`kind: forest\`) and the import of ONNX files write it. It runs
in aiot's interpreter (and therefore in loops and on virtual devices), in the firmware, and as C code from \`--emit c\`, but not in LiteRT or TensorFlow Lite Micro. The firmware reads the
trees in place and needs no arena for them. It runs a file with one FOREST, which a SOFTMAX or LOGISTIC may follow, as in boosting.

| input | contents |
| --- | --- |
| 0 | float32 [1, features], finite |
| 1 | int32 [nodes, 4]: feature, threshold, next node if the feature is at most the threshold, next node if not |
| 2 | int32 [leaves, outputs], with one scale, a power of two |
| 3 | int32 [trees]: the first node of each tree |
| 4 | int32 [outputs]: values before the first tree |

A threshold is stored as its *key*: the bits of its float32 as an int32, or for negative numbers minus the bits of the magnitude. Keys have the same order as the numbers, so comparing
keys gives exactly the same result as comparing the numbers. The nodes of each tree follow those of the tree before it. A node refers only to later nodes of
its tree; the index −1 − k stands for leaf k. Sums have at most 24 bits, so the order of additions does not matter, and the float32 output
(sum × scale) is exact.

## Verification

| column | compared with | result |
| --- | --- | --- |
| int8, int16 | TensorFlow Lite Micro from PyPI, on random shapes, scales and options | the same bits |
| int16: LiteRT | the reference kernels of LiteRT from PyPI, likewise | the same bits |
| float32 | the same | the same bits for operators with a fixed order of roundings; otherwise within 2·10⁻⁵ of the largest value, because sums or exponentials are rounded differently |
| \`--emit c\`, firmware | the interpreter and TensorFlow Lite Micro | the same bits |
| FOREST | ONNX Runtime, on scikit-learn models and on every branch mode; C code and firmware: the interpreter | outputs within 10⁻⁵ of the largest value, the same classes; C code and firmware: the same bits |
| loops | LiteRT on random GRU, LSTM and SimpleRNN layers of Keras; TensorFlow Lite Micro on the unrolled graph | within 2·10⁻⁵ |
| variables | TensorFlow Lite Micro, on four streaming wake-word models from PyPI over 300 steps, and on random models | the same bits in every tensor |

The tests are \`test/runtime/tflm.real.test.ts\`, \`int16.real.test.ts\`, \`float.real.test.ts\` and \`wake-words.real.test.ts\` beside it, \`test/model/emit-c.real.test.ts\` and \`test/firmware/interpreter.real.test.ts\`.

## Limits

- A type without "yes" has no kernel in TensorFlow Lite Micro, except for DIV: its int8 kernel shifts by more than 31 bits at usual scales, which C leaves undefined. The quantizer keeps such an operator in float32.
- TensorFlow Lite Micro ignores the output's scale of a RELU6. If it is not the input's, aiot rescales like LiteRT, and reports that TensorFlow Lite Micro computes other results.
- TensorFlow Lite Micro leaves the padding of a SPACE_TO_BATCH_ND undefined. It is the zero point here, as in LiteRT.
- An int8 RSQRT needs a zero point of −128, because TensorFlow Lite Micro stops at negative inputs.
- The outputs of a float32 LSTM can differ from LiteRT's, because exponentials are rounded differently. Over long sequences, the recurrent state can amplify the difference.
- Axes, paddings, indices, sizes and the slopes of a PRELU are constants.
`;
}
