// Writes firmware/test/guide.inc: messages, payloads and networks of the guide's boards from the TypeScript implementation.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';

const time = 1795168216492;
const edges = [
  [0.5, 24.123, 1.005, 61],
  [0.125, -0.125, 0.375, 2.5],
  [-0.001, -0, 0.004999999999999999, 0.995],
  [99999.99, -99999.99, 1e9, 20971516],
  [1e15, 9007199254740992, 4503599627370498, 0.005],
];
const ids = ['14333616', '1', '16777215'];
const models = ['m.tflite', '2022-05-06-20:36:11-model.tflite', `"\\${'x'.repeat(120)}`, 'ü'.repeat(90), ''];

const payloads = [
  ...[
    '',
    '{',
    'null',
    '[]',
    '{}',
    '7',
    '{"deviceID": "1"}',
    '{"payload": "x"}',
    '{"command": "download-model"}',
  ],
  ...[
    '{"command": 1, "payload": "x"}',
    '{"command": null, "payload": "x"}',
    '{"command": "a", "payload": ["x"]}',
  ],
  ...['{"command": "download-model", "payload" : "a.tflite"}', '{"command": "", "payload": ""} '],
  ...[
    '{"x": {"command": "a"}, "command": "b", "payload": "c", "payload": "d"}',
    '{"command": "a", "payload": "b"} x',
  ],
  '{"deviceID": 1, "current": 1, "temperature": 1, "vibration": 1, "sound": 1}',
  '{"deviceID": "", "current": 1, "temperature": 1, "vibration": 1, "sound": 1}',
  '{"deviceID": "1", "current": "1", "temperature": 1, "vibration": 1, "sound": 1}',
  '{"deviceID": "1", "current": 1e999, "temperature": 1, "vibration": 1, "sound": 1}',
  '{"deviceID": "1", "current": 1, "temperature": 1, "vibration": 1}',
  '{"sound": 4, "deviceID": "\\u0031", "more": [1, {}], "current": 1, "temperature": -2.5, "vibration": 3e2}',
];

/** The tables as C text. */
export async function guideTables() {
  const { seededRandom } = await import('../../src/lib/core/index.ts');
  const messages = await import('../../src/lib/device/guide/messages.ts');
  const random = seededRandom(21);
  const readings = [...edges];
  for (let i = 0; i < 60; i++)
    readings.push(Array.from({ length: 4 }, () => (random() - 0.3) * 10 ** Math.floor(random() * 9)));
  const rows = readings.map(([current, temperature, vibration, sound], i) => {
    const reading = { current, temperature, vibration, sound };
    const inference = i % 4 === 0 ? 1 / (i + 1) : random();
    const [id, model] = [ids[i % ids.length], models[i % models.length]];
    const alert = { reading, inference, model, time };
    const texts = [
      messages.sensorMessage(id, reading),
      messages.level1Message(id, reading, inference),
      messages.level2Message(id, alert),
    ];
    const values = [current, temperature, vibration, sound, inference].map(bits).join(', ');
    return `    {{${values}}, ${quoted(id)}, ${quoted(model)}, {${texts.map((text) => quoted(text.toString())).join(', ')}}},`;
  });
  const parsed = payloads.map((text) => {
    const sensor = messages.readSensorMessage(Buffer.from(text));
    const control = messages.readControl(Buffer.from(text));
    const { id = null, reading = {} } = sensor ?? {};
    const values = ['current', 'temperature', 'vibration', 'sound'].map((field) => bits(reading[field] ?? 0));
    return `    {${[text, id].map(quoted).join(', ')}, {${values.join(', ')}}, ${[control?.command ?? null, control?.payload ?? null].map(quoted).join(', ')}},`;
  });
  const networks = await networkTables(random);
  return `/* Made by npm run golden; do not edit. */
/* clang-format off */

enum { GUIDE_RUNS = ${runs} };
static const int64_t guide_time = ${time};

static const message_row message_rows[] = {
${rows.join('\n')}
};

static const parse_row parse_rows[] = {
${parsed.join('\n')}
};

${networks}`;
}

const runs = 8;

/** Networks of each form, and the TypeScript implementation's predictions for readings. */
async function networkTables(random) {
  const { FloatNetwork } = await import('../../test/support/float-network.ts');
  const { quantizeGraph } = await import('../../src/lib/model/quantize/graph/quantize-graph.ts');
  const { writeTflite } = await import('../../src/lib/formats/index.ts');
  const { createInterpreter, floatView } = await import('../../src/lib/runtime/index.ts');
  const { standardizing } = await import('../../src/lib/model/publish/guide.ts');
  const network = new FloatNetwork(random);
  const input = network.float([1, 4]);
  const hidden = network.dense(network.dense(input, 8, 'relu'), 6, 'relu6');
  const bias = network.add({ type: 'float32', shape: [1], data: Float32Array.of(0.1) });
  const sum = network.op({
    op: 'FULLY_CONNECTED',
    inputs: [network.unary(hidden, 'TANH'), network.values([1, 6], 0.4), bias],
    outputs: [network.float([1, 1])],
    options: { activation: 'none', keepNumDims: false },
  });
  const float = network.graph(input, network.unary(sum, 'LOGISTIC'));
  /** A network of the same form, with a last bias that makes the prediction constant. */
  const saying = (value) => ({
    ...float,
    tensors: float.tensors.map((t, i) => (i === bias ? { ...t, data: Float32Array.of(value) } : t)),
  });
  const inputs = Array.from({ length: 40 }, () => Float32Array.from({ length: 4 }, () => random() * 4 - 2));
  const { graph } = quantizeGraph(float, inputs, { mode: 'int8' });
  const forms = { 'of float32': float, 'of int8': graph, 'of int8 with float32 ends': floatView(graph) };
  const by = { mean: [0.5, -0.25, 1, 0.125], deviation: [2, 0.75, 1.5, 0.3] };
  const behind = {
    'of float32 behind its standardization': standardizing(float, by),
    'of int8 behind its standardization': standardizing(floatView(graph), by),
  };
  const all = { ...forms, 'saying 1': saying(1e6), 'saying 0': saying(-1e6), ...behind };
  const tables = Object.entries(all).map(([name, one], at) => {
    const nameless = {
      ...one,
      name: 'm',
      description: '',
      tensors: one.tensors.map((t) => ({ ...t, name: '' })),
    };
    const interpreter = createInterpreter(floatView(one));
    const results = inputs.slice(0, runs).map((row) => interpreter.invoke(row)[0]);
    return { name, at, bytes: [...writeTflite(nameless)], results };
  });
  const given = inputs.slice(0, runs).map((row) => `    {${[...row].map(bits).join(', ')}},`);
  const lines = (bytes) => bytes.join(',').replaceAll(/((?:\d+,){40})/g, '$1\n    ');
  return `${tables.map(({ at, bytes }) => `static const uint8_t network_${at}[] = {\n    ${lines(bytes)}\n};`).join('\n\n')}

static const uint64_t guide_inputs[GUIDE_RUNS][4] = {
${given.join('\n')}
};

static const network_row network_rows[] = {
${tables.map(({ name, at, bytes, results }) => `    {"${name}", network_${at}, ${bytes.length}, {${results.map(bits).join(', ')}}},`).join('\n')}
};
`;
}

/** A C string literal, with octal escapes for special characters; NULL for null. */
function quoted(text) {
  if (text === null) return 'NULL';
  const bytes = [...Buffer.from(text)].map((byte) =>
    byte < 32 || byte > 126 || byte === 34 || byte === 92 || byte === 63
      ? `\\${byte.toString(8).padStart(3, '0')}`
      : String.fromCharCode(byte),
  );
  return `"${bytes.join('')}"`;
}

function bits(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return `0x${view.getBigUint64(0).toString(16).padStart(16, '0')}u`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  register();
  writeFileSync(new URL('../../firmware/test/guide.inc', import.meta.url), await guideTables());
}
