/** Operators that convert between types, which the columns of types do not describe. */
const conversions = {
  QUANTIZE: 'float32 → int8 or int16, and between these',
  DEQUANTIZE: 'int8, int16 or float16 → float32',
};

/** Names of the operators in the table of firmware/core/src/kernels.c. */
export function firmwareOperators(/** @type {string} */ source) {
  return new Set([...source.matchAll(/^ {4}\{AIOT_(\w+),/gm)].map(([, name = '']) => name));
}

/**
 * docs/reference/tflite-operators.md: the operators that each part supports, from the tables that these parts use.
 * @param {object} input
 * @param {readonly string[]} input.operators names in the schema
 * @param {(op: any, type: any) => boolean} input.hasKernel whether the device interpreter has a kernel
 * @param {(op: any) => boolean} input.hasC whether `--emit c` writes it
 * @param {ReadonlySet<string>} input.firmware operators of the firmware
 * @returns {string} Markdown
 */
export function operatorsPage({ operators, hasKernel, hasC, firmware }) {
  const mark = (/** @type {boolean} */ has) => (has ? 'yes' : '–');
  const rows = [...operators].sort().map((op) => {
    const conversion = conversions[/** @type {keyof typeof conversions} */ (op)];
    const types = ['float32', 'int8', 'int16'].map((type) => mark(hasKernel(op, type)));
    const cells = conversion === undefined ? types : [conversion, '', ''];
    return `| ${op} | ${[...cells, mark(hasC(op)), mark(firmware.has(op))].join(' | ')} |`;
  });
  return `# TFLite operators

<!-- Written by npm run docs from src/lib/formats/tflite/operators, the interpreter's and the generator's tables, and firmware/core/src/kernels.c. -->

Supported operators of \`.tflite\` files, by type of the activations. Every listed operator can be read and written. int16 means int16 activations with int8
weights. \`--emit c\` and the firmware support int8 only. A file may also contain SHAPE and REDUCE_PROD if they compute
constants, and TILE by at most 10, which becomes CONCATENATION. SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND around a convolution become its dilation.

| operator | float32 | int8 | int16 | \`--emit c\` | firmware |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}

## Judges

| column | compared with | result |
| --- | --- | --- |
| int8, int16 | TensorFlow Lite Micro from PyPI, on random shapes, scales and options | the same bits |
| float32 | the same | the same bits for operators with a fixed order of roundings; otherwise within 2·10⁻⁵ of the largest value, because sums or exponentials are rounded differently |
| \`--emit c\`, firmware | the interpreter and TensorFlow Lite Micro | the same bits |

The tests are \`test/runtime/tflm.real.test.ts\`, \`int16.real.test.ts\` and \`float.real.test.ts\` beside it, \`test/model/emit-c.real.test.ts\` and \`test/firmware/interpreter.real.test.ts\`.

## Limits

- A type without "yes" has no kernel in TensorFlow Lite Micro, except for DIV: its int8 kernel shifts by more than 31 bits at usual scales, which C leaves undefined. The quantizer keeps such an operator in float32.
- TensorFlow Lite Micro leaves the padding of a SPACE_TO_BATCH_ND undefined. It is the zero point here, as in LiteRT.
- An int8 RSQRT needs a zero point of −128, because TensorFlow Lite Micro stops at negative inputs.
- Axes, paddings, indices, sizes and the slopes of a PRELU are constants.
`;
}
