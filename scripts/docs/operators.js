/** Operators that convert between types, which the columns of types do not describe. */
const conversions = {
  QUANTIZE: 'float32 → int8 or int16, int8 ↔ int16, int8 ↔ uint8',
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

This page lists the supported operators of \`.tflite\` files by activation type. aiot can read and write every listed operator.

- int16 means int16 activations with int8 weights.
- LiteRT means that aiot and LiteRT have this kernel, but TensorFlow Lite Micro does not.
- \`--emit c\` and the firmware support int8, and [FOREST](#decision-trees).
- VAR_HANDLE and CALL_ONCE define a file's [variables](#variables). WHILE and IF are [control flow](#loops).
- aiot also accepts SHAPE and REDUCE_PROD if they compute constants, and TILE by at most 10, which it replaces with CONCATENATION.
- aiot merges SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND around a convolution into the convolution's dilation.

| operator | float32 | int8 | int16 | \`--emit c\` | firmware |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}

## Variables

A streaming model stores values between runs in variables, with VAR_HANDLE, READ_VARIABLE and ASSIGN_VARIABLE. CALL_ONCE names a second subgraph, which assigns the initial values. SVDF and UNIDIRECTIONAL_SEQUENCE_LSTM store their state in separate variables, which are initially zero.

Each run is one step of the stream. Each session that runs the model has its own values, and resets them as follows:

| where | variables are reset |
| --- | --- |
| \`createInterpreter\` | at startup and after \`reset()\` |
| \`aiot model evaluate\` | at the first row, and if the table has a recording column, at the first row of each recording |
| \`aiot model compare\` | at the first row |
| \`aiot loop run\`, firmware | at startup and after lost samples |
| virtual devices | at startup |
| golden vectors | before each vector |
| \`--emit c\` | at startup and after \`model_reset()\` |

For models with variables, \`evaluate\` and \`compare\` need \`--runtime device\`, because LiteRT cannot reset variables. \`aiot model quantize\` rejects these models.

A Keras recurrent layer that is not stateful starts each window with zeros, but the converted operator continues from the previous window's state. With such a model, reset the session before each window.

aiot converts a uint8 input or output to int8 by subtracting 128 from each value and from the zero point.

## Loops

TensorFlow's converter writes a Keras recurrent layer as WHILE or as UNIDIRECTIONAL_SEQUENCE_LSTM. If the number of steps is fixed, aiot unrolls the loop when it reads the file. The graph then contains the operators of every step, which share the weights. If an IF has a constant condition, aiot replaces it with the branch that is taken. A loop that ends depending on the data is rejected (\`AIOT_TFLITE_UNSUPPORTED\`), with its place in the file. The table above, the quantizer, \`--emit c\` and the firmware therefore also cover such files.

To fix the number of steps, give the model a fixed batch size: \`keras.Input(batch_shape=(1, 50, 3))\`. With a dynamic batch size, the converter writes Flex operators, which aiot rejects. aiot also rejects loops with more than 4,096 steps, and loops whose end depends on the data.

## Decision trees

FOREST is a custom operator (\`AIOT_FOREST\`) that outputs the sums of the leaves that a row reaches. \`aiot model train\` (\`kind: forest\`) and ONNX import write this operator. It runs in aiot's interpreter (and therefore in loops and on virtual devices), in the firmware, and as C code from \`--emit c\`. It does not run in LiteRT or TensorFlow Lite Micro.

The firmware reads the trees in place and needs no arena for them. It runs files with a single FOREST, optionally followed by SOFTMAX or LOGISTIC, as in boosting.

| input | contents |
| --- | --- |
| 0 | float32 [1, features], finite |
| 1 | int32 [nodes, 4]: feature, threshold, next node if the feature does not exceed the threshold, next node if it does |
| 2 | int32 [leaves, outputs], with a single scale that is a power of two |
| 3 | int32 [trees]: first node of each tree |
| 4 | int32 [outputs]: values before the first tree |

A threshold is stored as its *key*: the bits of the float32 as an int32 or, for a negative number, the negative of its magnitude's bits. Keys sort in the same order as the numbers, so comparing keys gives exactly the same result as comparing the numbers.

Nodes are stored tree by tree. A node refers only to later nodes in its own tree; the index −1 − k stands for leaf k. Sums have at most 24 bits, so the order of additions does not matter, and the float32 output (sum × scale) is exact.

## Verification

| column | compared with | result |
| --- | --- | --- |
| int8, int16 | TensorFlow Lite Micro from PyPI, with random shapes, scales and options | identical bits |
| int16: LiteRT | LiteRT's reference kernels from PyPI, on the same kinds of models | identical bits |
| float32 | TensorFlow Lite Micro | identical bits for operators that always round in the same order; otherwise within 2·10⁻⁵ of the largest value, because sums or exponentials are rounded differently |
| \`--emit c\`, firmware | the interpreter and TensorFlow Lite Micro | identical bits |
| FOREST in the interpreter | ONNX Runtime, with scikit-learn models and every branch mode | outputs within 10⁻⁵ of the largest value, identical classes |
| FOREST in C code and firmware | the interpreter | identical bits |
| loops | LiteRT, with random Keras GRU, LSTM and SimpleRNN layers; TensorFlow Lite Micro, with the unrolled graph | within 2·10⁻⁵ |
| variables | TensorFlow Lite Micro, with four streaming wake-word models from PyPI over 300 steps, and with random models | identical bits in every tensor |

These tests verify the results: \`test/runtime/tflm.real.test.ts\`, with \`int16.real.test.ts\`, \`float.real.test.ts\` and \`wake-words.real.test.ts\` in the same folder; \`test/model/emit-c.real.test.ts\`; and \`test/firmware/interpreter.real.test.ts\`.

## Limits

- If a type has no "yes", TensorFlow Lite Micro has no kernel for it. The exception is DIV, whose int8 kernel shifts by more than 31 bits at common scales, which is undefined in C. The quantizer leaves these operators in float32.
- TensorFlow Lite Micro ignores the scale of RELU6's output. If it differs from the input's, aiot rescales as LiteRT does, and reports that TensorFlow Lite Micro's results differ.
- TensorFlow Lite Micro leaves the padding of SPACE_TO_BATCH_ND undefined. aiot pads with the zero point, as LiteRT does.
- int8 RSQRT needs a zero point of −128, because TensorFlow Lite Micro aborts on negative inputs.
- The outputs of a float32 LSTM can differ from LiteRT's, because exponentials are rounded differently. Over long sequences, the recurrent state can amplify the difference.
- Axes, paddings, indices, sizes and PRELU slopes must be constants.
`;
}
