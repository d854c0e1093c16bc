import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Names of the operators in the table of firmware/core/src/kernels.c, and FOREST. */
export function firmwareOperators(/** @type {string} */ source) {
  // Decision trees are read in place, by firmware/core/src/forest.c.
  return new Set(['FOREST', ...[...source.matchAll(/^ {4}\{AIOT_(\w+),/gm)].map(([, name = '']) => name)]);
}

/** Columns of the table, in order, and their titles. */
const columns = {
  read: 'read',
  float32: 'float32',
  int8: 'int8',
  int16: 'int16x8',
  int32: 'int32',
  bool: 'bool',
  c: '`--emit c`',
  firmware: 'firmware',
};

/**
 * Judges of each operator, by column. Each file in test/golden/judged lists the operators that one test compares with one judge. The test
 * writes the file, and fails if it no longer compares exactly these operators.
 * @param {string} folder
 * @returns {Map<string, Map<string, string[]>>} column → operator → judges
 */
export function readJudged(folder) {
  const judged = new Map(
    [...Object.keys(columns), 'replaced', 'signal', 'beyond'].map((column) => [column, new Map()]),
  );
  for (const file of readdirSync(folder).sort()) {
    const [column = '', judge = ''] = file.split('.');
    const label = judge.replace(/-near$/, ' ≈').replaceAll('-', ' ');
    for (const op of readFileSync(join(folder, file), 'utf8').trim().split('\n')) {
      const judges = judged.get(column)?.get(op) ?? [];
      judged.get(column)?.set(op, [...new Set([...judges, label])]);
    }
  }
  return judged;
}

/** Operators that are not stored after a file was read, with their replacement and its limits. */
const replacements = [
  ['ADD_N', 'ADD', 'float32, int32'],
  ['BROADCAST_ARGS, REDUCE_PROD, SHAPE', 'constants', 'sizes that are known when the file is read'],
  ['CALL_ONCE, VAR_HANDLE', '[variables](reference/tflite-operators.md#variables)', ''],
  ['CUMSUM', 'UNPACK, ADD, PACK', 'float32, at most 64 values'],
  ['DENSIFY', 'a constant with its zeros', 'sparse constants'],
  ['EMBEDDING_LOOKUP, GATHER_ND', 'GATHER', ''],
  ['FLOOR_DIV', 'DIV, FLOOR', 'float32; on int32, only constants'],
  ['IF', 'both branches, SELECT_V2', '[control flow](reference/tflite-operators.md#loops)'],
  ['L2_POOL_2D', 'SQUARE, AVERAGE_POOL_2D, SQRT', 'float32'],
  ['SELECT', 'SELECT_V2', ''],
  ['TILE', 'CONCATENATION', 'at most 10 repetitions per axis'],
  ['WHILE', 'the operators of its steps, SELECT_V2', '[control flow](reference/tflite-operators.md#loops)'],
  ['ZEROS_LIKE', 'a constant', 'float32, int32'],
];

/** The rows of the table of replaced operators. Operators with other judges than their neighbors get their own row. */
function replacedRows(/** @type {Map<string, string[]>} */ judged) {
  const known = new Set(replacements.flatMap(([ops = '']) => ops.split(', ')));
  const unknown = [...judged.keys()].filter((op) => !known.has(op));
  if (unknown.length > 0) throw new Error(`docs/models.md: no row for ${unknown.join(', ')}`);
  return replacements.flatMap(([ops = '', becomes, limits]) => {
    const byJudges = new Map();
    for (const op of ops.split(', ')) {
      const judges = judged.get(op)?.join(', ') ?? '–';
      byJudges.set(judges, [...(byJudges.get(judges) ?? []), op]);
    }
    return [...byJudges].map(([judges, own]) => `| ${own.join(', ')} | ${becomes} | ${limits} | ${judges} |`);
  });
}

/**
 * docs/models.md: the operators that each part supports, from the tables that these parts use, and their judges.
 * @param {object} input
 * @param {readonly string[]} input.operators names in the schema
 * @param {(op: any, type: any) => boolean} input.hasKernel whether the device interpreter has a kernel
 * @param {(op: any) => boolean} input.hasC whether `--emit c` writes it
 * @param {ReadonlySet<string>} input.firmware operators of the firmware
 * @param {ReturnType<typeof readJudged>} input.judged
 * @returns {string} Markdown
 */
export function modelsPage({ operators, hasKernel, hasC, firmware, judged }) {
  const supports = (/** @type {string} */ column, /** @type {string} */ op) => {
    if (column === 'read') return op !== 'FOREST';
    if (column === 'c') return hasC(op);
    return column === 'firmware' ? firmware.has(op) : hasKernel(op, column) || isConversion(op, column);
  };
  // Operators of the audio front end have a separate list, because each supports only one combination of types.
  const isSignal = (/** @type {string} */ op) => op.startsWith('SIGNAL_');
  const signals = [...operators].filter(isSignal).sort();
  const unjudged = signals.filter((op) =>
    ['signal', 'c', 'firmware'].some((column) => !judged.get(column)?.has(op)),
  );
  if (unjudged.length > 0) throw new Error(`docs/models.md: not judged by any test: ${unjudged.join(', ')}`);
  const others = [...operators].filter((op) => !isSignal(op));
  // Operators with the same cells share a row.
  const operatorsByCells = new Map();
  for (const op of others.sort()) {
    const cells = Object.keys(columns).map((column) => {
      const all = judged.get(column)?.get(op) ?? [];
      // One judge that differs only by rounding, on float32, is not shown beside the identical results on integers.
      const judges = all.filter((judge) => !(judge.endsWith(' ≈') && all.includes(judge.slice(0, -2))));
      if (supports(column, op) === judges.length > 0) return judges.join(', ') || '–';
      throw new Error(
        `docs/models.md: ${op}, ${column}: ${judges.length > 0 ? `judged by ${judges}, but not supported` : 'supported, but not judged by any test'}`,
      );
    });
    const key = cells.join(' | ');
    operatorsByCells.set(key, [...(operatorsByCells.get(key) ?? []), op]);
  }
  const signalsByCells = new Map();
  for (const op of signals) {
    const cells = ['signal', 'c', 'firmware'].map((column) => judged.get(column)?.get(op)?.join(', '));
    signalsByCells.set(cells.join(' | '), [...(signalsByCells.get(cells.join(' | ')) ?? []), op]);
  }
  const signalRows = [...signalsByCells].map(([cells, ops]) => `| ${ops.join(', ')} | ${cells} |`);
  const beyond = [...(judged.get('beyond')?.keys() ?? [])]
    .filter((use) => !use.startsWith('LOGICAL_'))
    .map((use) => use.replace(' ', ' on '));
  const rows = [...operatorsByCells].map(([cells, ops]) => `| ${ops.join(', ')} | ${cells} |`);
  return `# Supported operators and how they were verified

<!-- Written by npm run docs from src/lib/formats/tflite/operators, the interpreter's and the generator's tables, firmware/core/src/kernels.c, and test/golden/judged. -->

Each cell names the third party whose results our tests compare with ours: **TFLM** is TensorFlow Lite Micro, **LiteRT** Google's runtime, both from PyPI. A dash means that aiot does not support this use.

A test also runs a model for each dash in a type's column. TFLM rejects all of them except ${beyond.join(', ')}, [whose results depend on uninitialized memory](reference/tflite-operators.md#kernels-of-tensorflow-lite-micro-that-aiot-does-not-support). TFLM does not check the type in LOGICAL_AND and LOGICAL_OR.

- Results are identical bit for bit. Those marked ≈ differ by at most 2·10⁻⁵ of the largest value (trees: 10⁻⁵).
- **read**: files written by TensorFlow.
- **float32**, **int8**, **int16x8** (int16 activations, int8 weights): models with random shapes, scales and options in aiot's interpreter.
- **int32**, **bool**: indices and conditions, as inputs, outputs or between operators.
- **\`--emit c\`** and **firmware** support the same types as the interpreter, and [decision trees](reference/tflite-operators.md#decision-trees). On float32, both have the interpreter's results bit for bit; ≈ is shown only for operators that have no other type.

| operators | ${Object.values(columns).join(' | ')} |
| --- | ${Object.keys(columns)
    .map(() => '---')
    .join(' | ')} |
${rows.join('\n')}

GATHER also reads float32 and int8 at computed int32 indices, and CAST converts between all types. See [indices and conditions](reference/tflite-operators.md#indices-and-conditions).

QUANTIZE converts float32 to int8 or int16, int8 to int16 or uint8 and back, and int8 or int16 to int32 and back. SOFTMAX also converts int8 to int16. DEQUANTIZE converts int8, int16 or float16 to float32.

The operators of TFLite Micro's [audio front end](reference/tflite-operators.md#audio-front-end) work on int16 samples, uint32 and uint64; Fourier transforms also on int32 and float32, and SIGNAL_OVERLAP_ADD on float32. These results are identical bit for bit:

| operators | interpreter | ${columns.c} | firmware |
| --- | --- | --- | --- |
${signalRows.join('\n')}

See [TFLite operators](reference/tflite-operators.md) for their rules and for limits, [TFLite rules](reference/tflite-rules.md) for files, and [import formats](reference/import-formats.md) for Keras and ONNX.

## Changes that aiot makes when it reads a file

These operators become others, so that every part of aiot supports them. The last column names the runtimes with which tests compare the results (TFLM: identical bits; LiteRT: within 2·10⁻⁵). A dash means that only aiot's own tests check them.

| operators | become | limits | read |
| --- | --- | --- | --- |
${replacedRows(judged.get('replaced') ?? new Map()).join('\n')}

- On int32, FLOOR_MOD must compute a constant.
- SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND around a convolution become the convolution's dilation.
- If an output is the position of the largest value (ARG_MAX), aiot outputs the values instead.

## Networks from Keras

We imported random and fixed Keras networks that TensorFlow had converted, and compared every tensor over 550 inputs (November 27 and 28, 2026):

| networks | accepted | compared with |
| --- | --- | --- |
| float32 | 49 of 49 | TFLM ≈ |
| int8 | 48 of 49 | TFLM, and LiteRT for operators that TFLM lacks: identical bits |
| int16x8 | 43 of 43 | the same runtimes: identical bits |
| several inputs or outputs | 12 of 12 int8, 12 of 12 float32 | TFLM; ≈ for float32 |
| recurrent layers in loops | 30 of 30 | LiteRT ≈ and TFLM ≈; TFLM after quantization to int8: identical bits |
| fixed: two layers of LSTM or GRU (unrolled, and in loops), an attention block, a separable U-Net, a MobileNet with two heads | 7 of 7 float32, 5 of 5 int8, 4 of 4 int16x8 | the same runtimes: ≈ for float32, identical bits for integers |

One int8 network is rejected because a scale in its file is too small for its inputs. \`AIOT_LONG=1 npx vitest run --project real test/formats/random-keras.real.test.ts test/formats/fixed-keras.real.test.ts\` repeats the comparison.
`;
}

/** Operators between types, which the table of kernels does not list by one type. */
function isConversion(/** @type {string} */ op, /** @type {string} */ column) {
  return column === 'float32' && ['FOREST', 'DEQUANTIZE', 'QUANTIZE'].includes(op);
}
