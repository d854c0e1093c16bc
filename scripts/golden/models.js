// Writes reference data for the firmware's interpreter and emitted C. firmware/test/models.inc has networks of each kind, inputs, and
// exact outputs. firmware/test/rules.inc has files with one number changed, and whether they are accepted
// (docs/reference/tflite-rules.md). firmware/test/fixtures/emitted has two networks as written by `aiot model quantize --emit c`, and
// their vectors.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';

const runs = 6;
/** Seeds to choose from: small files make small tables. */
const seeds = Array.from({ length: 8 }, (_, at) => 100 + at);

/**
 * Networks of each kind with inputs, and the outputs of the TypeScript interpreter, as C text.
 * @param {object} lib
 * @param {Record<string, (random: () => number) => object>} lib.makers of float networks, by kind
 * @param {typeof import('../../test/support/architectures.js').quantizedOf} lib.quantizedOf
 */
export function modelTables({ makers, quantizedOf, writeTflite, createInterpreter, seededRandom }) {
  const tables = Object.entries(makers).map(([kind, make], index) => {
    const candidates = seeds.flatMap((seed) => possible(() => nameless(quantizedOf(make, seed))));
    const files = candidates.map((graph) => writeTflite(graph));
    const smallest = files.reduce((best, file, at) => (file.length < files[best].length ? at : best), 0);
    const { input, output } = vectorsOf(candidates[smallest], createInterpreter, seededRandom(index));
    return { kind, name: `model${index}`, file: files[smallest], input, output };
  });
  const arrays = tables.flatMap(({ name, file, input, output }) => [
    `static const uint8_t ${name}_file[] = {\n${wrapped(file)}\n};`,
    `static const int8_t ${name}_input[] = {\n${wrapped(input)}\n};`,
    `static const int8_t ${name}_output[] = {\n${wrapped(output)}\n};`,
  ]);
  const rows = tables.map(
    ({ kind, name, file, input, output }) =>
      `    {"${kind}", ${name}_file, ${file.length}, ${name}_input, ${input.length / runs}, ${name}_output, ${output.length / runs}},`,
  );
  return `/* Made by npm run golden; do not edit. */
/* clang-format off */

enum { MODEL_RUNS = ${runs} };

${arrays.join('\n\n')}

static const model_row model_rows[] = {
${rows.join('\n')}
};
`;
}

/** The cases of the rules as C text: the bases' files, and the bytes that each case changes in one of them. */
export function ruleTables({ files, cases }) {
  const names = Object.keys(files);
  const arrays = names.map((name) => `static const uint8_t rule_${name}[] = {\n${wrapped(files[name])}\n};`);
  const rows = cases.map(({ rule, base, what, changes, accepted }) => {
    const bytes = changes.map(({ at, byte }) => `{${at}, ${byte}}`).join(', ');
    const list = changes.length === 0 ? '{{0, 0}}' : `{${bytes}}`;
    return `    {"rule ${rule}, ${what}", rule_${base}, sizeof rule_${base}, ${changes.length}, ${list}, ${accepted}},`;
  });
  return `/* Made by npm run golden; do not edit. */
/* clang-format off */

${arrays.join('\n\n')}

static const rule_row rule_rows[] = {
${rows.join('\n')}
};
`;
}

/** A network, or nothing if the random sizes leave no room for a window. */
function possible(make) {
  try {
    return [make()];
  } catch (error) {
    if (error?.code === 'AIOT_TFLITE_MALFORMED') return [];
    throw error;
  }
}

/** Removes the names of tensors, which no program needs and which take up most of a small file. */
function nameless(graph) {
  return {
    ...graph,
    name: 'm',
    description: '',
    tensors: graph.tensors.map((tensor) => ({ ...tensor, name: '' })),
  };
}

function vectorsOf(graph, createInterpreter, random) {
  const interpreter = createInterpreter(graph);
  const size = interpreter.inputTensor.shape.reduce((all, one) => all * one, 1);
  const input = Int8Array.from({ length: size * runs }, () => Math.floor(random() * 256) - 128);
  const output = Array.from({ length: runs }, (_, run) => [
    ...interpreter.invoke(input.subarray(run * size, (run + 1) * size)),
  ]).flat();
  return { input, output };
}

/**
 * The files of the emitted networks, by path under firmware/test, and the vectors of each as C text.
 */
export function emittedFiles({ emitted, networks, quantizedOf, writeTflite }) {
  const files = new Map();
  for (const [name, make] of Object.entries(networks)) {
    const graph = quantizedOf(make, 4);
    const contents = writeTflite(graph);
    const out = `fixtures/emitted/${name}`;
    for (const [path, text] of emitted('c', { out, graph, contents, name, classes: [] }))
      files.set(path, text);
    const { vectors } = JSON.parse(files.get(`${out}/golden.json`));
    files.set(`${out}/vectors.inc`, vectorTable(name, vectors));
    files.set(`${out}/model.tflite`, contents);
  }
  return files;
}

function vectorTable(name, vectors) {
  return `/* Made by npm run golden; do not edit. */
/* clang-format off */

enum { ${name}_vectors = ${vectors.length}, ${name}_taken = ${vectors[0].input.length}, ${name}_given = ${vectors[0].output.length} };

static const int8_t ${name}_inputs[] = {
${wrapped(vectors.flatMap(({ input }) => input))}
};

static const int8_t ${name}_outputs[] = {
${wrapped(vectors.flatMap(({ output }) => output))}
};
`;
}

function wrapped(values) {
  const lines = [];
  for (let at = 0; at < values.length; at += 40)
    lines.push(`    ${Array.from(values.slice(at, at + 40)).join(',')},`);
  return lines.join('\n');
}

/** The networks of the fixtures: that of the guide's motor, and a small one over time. */
export function emittedNetworks({ FloatNetwork, engineKinds }) {
  return {
    motor: (random) => {
      const n = new FloatNetwork(random);
      const x = n.float([1, 4]);
      return n.graph(
        x,
        n.unary(n.dense(n.dense(n.dense(n.dense(x, 60, 'relu'), 30, 'relu'), 10, 'relu'), 1), 'LOGISTIC'),
      );
    },
    waves: engineKinds['kind cnn1d'],
  };
}

/** The TypeScript modules that both need. */
export async function golden() {
  const [formats, runtime, core, emit, architectures, kinds, float, rules] = await Promise.all([
    import('../../src/lib/formats/index.ts'),
    import('../../src/lib/runtime/index.ts'),
    import('../../src/lib/core/index.ts'),
    import('../../src/lib/model/emit/emit.ts'),
    import('../../test/support/architectures.ts'),
    import('../../test/support/engine-kinds.ts'),
    import('../../test/support/float-network.ts'),
    import('../../test/support/model-rules.ts'),
  ]);
  const makers = { ...architectures.architectures, ...kinds.engineKinds };
  const networks = emittedNetworks({ ...float, ...kinds });
  const lib = {
    ...formats,
    ...runtime,
    ...core,
    ...emit,
    quantizedOf: architectures.quantizedOf,
    makers,
    networks,
  };
  return new Map([
    ['models.inc', modelTables(lib)],
    ['rules.inc', ruleTables(rules.ruleCases())],
    ...emittedFiles(lib),
  ]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  register();
  for (const [path, contents] of await golden()) {
    const file = fileURLToPath(new URL(`../../firmware/test/${path}`, import.meta.url));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, contents);
  }
}
