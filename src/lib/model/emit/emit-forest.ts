import { join } from 'node:path';
import { digestOf } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { gaussian, seededRandom } from '../../core/numbers.js';
import { type Forest, forestIn, keyValue } from '../../formats/tflite/forest.js';
import { elementCount, type Graph, type Operator } from '../../formats/tflite/graph.js';
import { createInterpreter } from '../../runtime/interpreter/interpreter.js';
import { endOf } from '../bundle/ends.js';
import { cFloat, cText } from './c-text.js';
import type { EmitOptions } from './emit.js';
import { indent, table, unfused } from './piece.js';
import { cDouble, decisionPart, declarationsText, encodingPart, type UsagePart } from './usage.js';

/** A network that consists of one forest. */
interface Wood {
  forest: Forest;
  /** The function that follows the sums; it does not change which class is predicted. */
  ending: 'SOFTMAX' | 'LOGISTIC' | 'none';
}

/**
 * Emits decision trees as C11 functions without dependencies, as `emitC` does for networks. The functions only compare and add integers,
 * and use only the caller's memory. Their sums are identical to the interpreter's.
 * @throws AIOT_QUANTIZE_UNFIT if other operators precede or follow the trees
 */
export function emitForest(options: EmitOptions): Map<string, string> {
  const { out, graph } = options;
  const wood = woodOf(graph);
  const parts = usageParts(options, wood);
  return new Map([
    [join(out, 'model.c'), source(options, wood, parts)],
    [join(out, 'model.h'), header(options, wood, parts)],
    [join(out, 'golden.json'), goldenOf(options, wood)],
  ]);
}

/** Operators that change only the shape. */
const shapes: readonly Operator['op'][] = ['RESHAPE', 'EXPAND_DIMS', 'SQUEEZE'];

function woodOf(graph: Graph): Wood {
  createInterpreter(graph);
  const { inputs, outputs } = graph;
  if (inputs.length > 1 || outputs.length > 1)
    throw new AiotError(
      'AIOT_QUANTIZE_UNFIT',
      `--emit c supports only decision trees with one input and one output; number of inputs: ${inputs.length}, outputs: ${outputs.length}`,
      { next: 'Import one output with --output NAME, and join the inputs before the export.' },
    );
  const refuse = (at: number) =>
    new AiotError(
      'AIOT_QUANTIZE_UNFIT',
      `--emit c supports decision trees alone, or with a SOFTMAX or LOGISTIC after them; got operator ${at} (${graph.operators[at]!.op})`,
      { next: 'Export the trees without the steps around them, and compute these in your own code.' },
    );
  let found: Forest | undefined;
  let ending: Wood['ending'] = 'none';
  graph.operators.forEach((operator, at) => {
    const { op } = operator;
    if (shapes.includes(op)) return;
    if (op === 'FOREST' && found === undefined) found = forestIn(graph, operator);
    else if ((op === 'SOFTMAX' || op === 'LOGISTIC') && found !== undefined && ending === 'none') ending = op;
    else throw refuse(at);
  });
  return { forest: found!, ending };
}

/** Functions for the project's decision, and for its features if they are standardized. */
function usageParts({ graph, usage }: EmitOptions, wood: Wood): UsagePart[] {
  if (usage === undefined) return [];
  const encoding = encodingPart(usage, endOf(graph, 'inputs'), 'float');
  const decision = decisionPart(usage, {
    end: endOf(graph, 'outputs'),
    cType: 'int32_t',
    scores: scoresOf(wood),
    standardizes: encoding !== null,
  });
  return [encoding, decision].filter((part) => part !== null);
}

/** C statements that turn sums into the model's outputs, with the interpreter's rounding. */
function scoresOf({ forest: { outputs, scale }, ending }: Wood): string {
  const real = `(float)(output[i] * ${cDouble(scale)})`;
  if (ending === 'none') return `for (int i = 0; i < ${outputs}; i++) scores[i] = (double)${real};`;
  if (ending === 'LOGISTIC')
    return `for (int i = 0; i < ${outputs}; i++) scores[i] = (double)(float)(1.0 / (1.0 + exp(-(double)${real})));`;
  return `double most = -INFINITY, sum = 0;
for (int i = 0; i < ${outputs}; i++) {
  scores[i] = (double)${real};
  if (scores[i] > most) most = scores[i];
}
for (int i = 0; i < ${outputs}; i++) {
  const double value = exp(scores[i] - most);
  sum += value;
  scores[i] = (double)(float)value;
}
for (int i = 0; i < ${outputs}; i++) scores[i] = (double)(float)(scores[i] / sum);`;
}

/** Body of a C function that returns the class for a row's sums; null if the forest predicts a value. */
function decisionOf({ forest, ending }: Wood, classes: readonly string[]): string | null {
  if (forest.outputs > 1)
    return `int best = 0;
  for (int i = 1; i < MODEL_OUTPUT_COUNT; i++)
    if (sums[i] > sums[best]) best = i;
  return best;`;
  if (ending === 'LOGISTIC') return 'return sums[0] >= 0;';
  // The second class is predicted if its probability is at least one half.
  return classes.length === 2 ? `return sums[0] >= ${Math.ceil(0.5 / forest.scale)};` : null;
}

const comment = (text: string) => cText(text).replace(/\*\//g, '* /').replace(/\/\*/g, '/ *');

function header({ contents, name, classes }: EmitOptions, wood: Wood, parts: readonly UsagePart[]): string {
  const { forest, ending } = wood;
  const resets = parts.some((part) => part.resets.length > 0);
  const decides = decisionOf(wood, classes) !== null;
  const after = {
    none: 'sums * MODEL_OUTPUT_SCALE are the outputs of the model',
    SOFTMAX: 'the softmax of sums * MODEL_OUTPUT_SCALE are the outputs of the model',
    LOGISTIC: 'the sigmoid of sums * MODEL_OUTPUT_SCALE is the output of the model',
  }[ending];
  return `/*
 * ${comment(name)}: decision trees as C11, generated by aiot model quantize --emit c; do not edit.
 *
 * Call model_run(input, sums). It allocates nothing, keeps no state, and computes with integers only. The tables are constants, and it needs
 * no memory of its own.
 */
#ifndef AIOT_GENERATED_MODEL_H
#define AIOT_GENERATED_MODEL_H

#include <stdint.h>

#define MODEL_NAME "${cText(name)}"
/* Digest of the source .tflite file. */
#define MODEL_DIGEST "${digestOf(contents)}"

/* Inputs must be finite IEEE 754 single-precision values. */
#define MODEL_INPUT_COUNT ${forest.inputs}
/* ${after}. */
#define MODEL_OUTPUT_COUNT ${forest.outputs}
#define MODEL_OUTPUT_SCALE ${cFloat(forest.scale)}
${
  classes.length === 0
    ? ''
    : `
/* Classes${forest.outputs > 1 ? ' in the order of the outputs' : ''}. */
#define MODEL_CLASS_COUNT ${classes.length}
extern const char *const model_class_names[MODEL_CLASS_COUNT];
`
}
/* Static memory in addition to the tables. */
#define MODEL_ARENA_BYTES 0
#define MODEL_TREES ${forest.roots.length}

/* input has MODEL_INPUT_COUNT values, sums MODEL_OUTPUT_COUNT. */
void model_run(const float *input, int32_t *sums);
${decides ? `\n/* Returns the index of the class with the largest sum${parts.length > 0 ? ", without the project's costs and thresholds" : ''}. */\nint model_class(const int32_t *sums);\n` : ''}${declarationsText(parts)}${resets ? '\n/* Clears the smoothing: the next window is the first of a recording. */\nvoid model_reset(void);\n' : ''}
#endif
`;
}

function source({ name, classes }: EmitOptions, wood: Wood, usage: readonly UsagePart[]): string {
  const added = usage.flatMap(({ definitions }) => definitions);
  const resets = usage.flatMap((part) => part.resets);
  const usesMath = added.some((text) => /\bexp\(/.test(text));
  const { forest } = wood;
  const { nodes, leaves, roots, base, outputs } = forest;
  const count = nodes.length / 4;
  const column = (at: number) => Array.from({ length: count }, (_, node) => nodes[4 * node + at]!);
  const [feature, key, low, high] = [column(0), column(1), column(2), column(3)];
  const reference = smallest([...low, ...high, ...roots]);
  const decision = decisionOf(wood, classes);
  const parts = [
    `/* ${comment(name)}. Generated by aiot model quantize --emit c; do not edit. */\n#include "model.h"\n\n${usesMath ? '#include <math.h>\n' : ''}#include <string.h>${added.length > 0 ? `\n\n${unfused}` : ''}`,
    `/* Nodes: the input to compare, the order_key of its threshold, and the next node if the input is at most the threshold (low) or
 * above it (high). A negative reference is a leaf: -1 - its index. */
${table(smallest(feature, true), 'feature', feature)}
${table('int32_t', 'threshold', key)}
${table(reference, 'low', low)}
${table(reference, 'high', high)}`,
    table(smallest(leaves), 'leaves', leaves),
    table(reference, 'roots', roots),
    table('int32_t', 'base', base),
    ...(classes.length === 0
      ? []
      : [
          `const char *const model_class_names[MODEL_CLASS_COUNT] = {\n${classes.map((text) => `    "${cText(text)}",`).join('\n')}\n};`,
        ]),
    `/* Maps floats to integers of the same order. Floats consist of a sign and a magnitude. */
static int32_t order_key(const float *value) {
  int32_t bits;
  memcpy(&bits, value, sizeof bits);
  return bits < 0 ? -(bits & INT32_MAX) : bits;
}`,
    `void model_run(const float *input, int32_t *sums) {
  for (int i = 0; i < MODEL_OUTPUT_COUNT; i++) sums[i] = base[i];
  for (int tree = 0; tree < MODEL_TREES; tree++) {
    int32_t at = roots[tree];
    while (at >= 0) at = order_key(input + feature[at]) <= threshold[at] ? low[at] : high[at];
    for (int i = 0; i < MODEL_OUTPUT_COUNT; i++) sums[i] += leaves[(-1 - at) * ${outputs} + i];
  }
}`,
    ...(decision === null ? [] : [`int model_class(const int32_t *sums) {\n  ${decision}\n}`]),
    ...added,
    ...(resets.length === 0 ? [] : [`void model_reset(void) {\n${indent(resets.join('\n'))}\n}`]),
  ];
  return `${parts.join('\n\n')}\n`;
}

/** The smallest C type that can represent every value. */
function smallest(values: ArrayLike<number>, unsigned = false): string {
  let [least, most] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    least = Math.min(least, values[i]!);
    most = Math.max(most, values[i]!);
  }
  if (unsigned && least >= 0 && most < 2 ** 16) return most < 2 ** 8 ? 'uint8_t' : 'uint16_t';
  const fits = (bits: number) => least >= -(2 ** (bits - 1)) && most < 2 ** (bits - 1);
  return fits(8) ? 'int8_t' : fits(16) ? 'int16_t' : 'int32_t';
}

/** Number of golden inputs of each kind, in this order: typical rows, rows whose values equal thresholds, random rows. */
const counts = { rows: 16, thresholds: 8, chance: 8 } as const;

/** Inputs, and the exact sums that a correct implementation computes, as JSON (format: see docs/reference/quantization.md). */
function goldenOf({ graph, contents, name, classes, rows = [] }: EmitOptions, { forest }: Wood): string {
  const vectors = inputsOf(graph, forest, rows).map((input) => ({
    input: [...input],
    output: [...sumsOf(graph, forest, input)],
  }));
  const about = {
    spec: 'aiot-golden/1',
    model: name,
    digest: digestOf(contents),
    input: { count: forest.inputs, shape: [1, forest.inputs], scale: 1, zeroPoint: 0 },
    output: { count: forest.outputs, shape: [1, forest.outputs], scale: forest.scale, zeroPoint: 0 },
    classes,
  };
  const lines = vectors.map((vector) => `    ${JSON.stringify(vector)}`).join(',\n');
  return `${JSON.stringify(about, null, 2).slice(0, -2)},\n  "vectors": [\n${lines}\n  ]\n}\n`;
}

/** Integer sums, recovered from the interpreter's output. */
function sumsOf(graph: Graph, { scale }: Forest, input: Float32Array): Int32Array {
  const interpreter = createInterpreter(graph);
  interpreter.invoke(input);
  const { outputs } = graph.operators.find(({ op }) => op === 'FOREST')!;
  return Int32Array.from(interpreter.tensors[outputs[0]!] as Float32Array, (value) => value / scale);
}

function inputsOf(graph: Graph, { nodes }: Forest, rows: readonly ArrayLike<number>[]): Float32Array[] {
  const length = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
  const random = seededRandom(1);
  const stride = Math.max(1, Math.floor(rows.length / counts.rows));
  const taken = rows.filter((_, at) => at % stride === 0).slice(0, counts.rows);
  const byFeature = Array.from({ length }, () => [0]);
  for (let node = 0; node < nodes.length / 4; node++)
    byFeature[nodes[4 * node]!]!.push(keyValue(nodes[4 * node + 1]!));
  const thresholds = Array.from({ length: counts.thresholds }, () =>
    Float32Array.from(byFeature, (own) => own[Math.floor(random() * own.length)]!),
  );
  const chance = Array.from({ length: counts.chance }, () =>
    Float32Array.from({ length }, () => 10 * gaussian(random)),
  );
  return [...taken.map((row) => Float32Array.from({ length }, (_, i) => row[i]!)), ...thresholds, ...chance];
}
