import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { type FileEvaluation, fileEvaluationSchema } from '../../src/lib/model/evaluate/result.js';
import { runCli } from '../support/cli.js';
import { motorFile, motorFolder, motorRows } from '../support/motor-files.js';
import { mlp } from '../support/networks.js';
import { linearFile } from './linear.js';
import { temporaryFolder } from './support.js';

async function evaluate(network: Uint8Array | string, csv: string, ...flags: string[]) {
  const dir = await temporaryFolder();
  const data = join(dir, 'rows.csv');
  const file = typeof network === 'string' ? network : join(dir, 'model.tflite');
  if (typeof network !== 'string') await writeFile(file, network);
  await writeFile(data, csv);
  const argv = ['model', 'evaluate', file, '--data', data, ...flags.map((f) => f.replace('DIR', dir))];
  const result = await runCli([...argv, '--json']);
  return { ...result, value: result.json as FileEvaluation, dir, argv };
}

/** The class is the index of the largest of x, y and z. */
const identity = [
  [9, 0, 0],
  [0, 9, 0],
  [0, 0, 9],
];
const threeClasses = linearFile(identity, [0, 0, 0], 'SOFTMAX');
const rowsOf = (labels: string[]) =>
  `x,y,z,label\n${labels.map((label, i) => `${i === 0 ? '1,0,0' : i === 1 ? '0,1,0' : '0,0,1'},${label}`).join('\n')}\n`;

describe('aiot model evaluate FILE', () => {
  it.each(['litert', 'device'])('evaluates a three-class model on %s', async (runtime) => {
    const { value, code } = await evaluate(
      threeClasses,
      'x,y,z,label\n1,0,0,0\n0,1,0,1\n0,0,1,2\n0,0.6,0.5,2\n',
      '--runtime',
      runtime,
    );
    expect(code).toBe(0);
    expect(fileEvaluationSchema.parse(value)).toEqual(value);
    expect(value).toMatchObject({
      output: 'classes',
      precision: 'float32',
      runtime,
      n: 4,
      accuracy: 0.75,
      auc: 1,
      classes: ['0', '1', '2'],
      threshold: null,
      confusion: [
        [1, 0, 0],
        [0, 1, 0],
        [0, 1, 1],
      ],
    });
    expect(value.macroF1).toBeCloseTo((1 + 2 / 3 + 2 / 3) / 3, 12);
    expect(value.worst).toHaveLength(1);
    expect(value.worst[0]).toMatchObject({ row: 4, truth: '2', predicted: '1' });
  });

  it('treats a single LOGISTIC output as a probability, and applies the threshold', async () => {
    const network = linearFile([[2]], [0], 'LOGISTIC');
    const csv = 'x,state\n-1,0\n-0.1,1\n0.1,0\n1,1\n';
    const half = await evaluate(network, csv, '--label', 'state');
    expect(half.value).toMatchObject({ output: 'probability', accuracy: 0.5, auc: 0.75, threshold: 0.5 });
    const low = await evaluate(network, csv, '--label', 'state', '--threshold', '0.4');
    expect(low.value).toMatchObject({ accuracy: 0.75, threshold: 0.4 });
  });

  it('measures a regression output by its errors', async () => {
    const { value } = await evaluate(linearFile([[2]], [1]), 'x,label\n0,1\n1,3.5\n2,4\n');
    expect(value).toMatchObject({ output: 'value', accuracy: null, macroF1: null, auc: null, classes: [] });
    expect(value.mae).toBeCloseTo(0.5, 6);
    expect(value.rmse).toBeCloseTo(Math.sqrt(1.25 / 3), 6);
    expect(value.worst[0]).toEqual({ row: 3, truth: '4', predicted: '5', score: 1 });
  });

  it('measures a reconstruction by its error with --output reconstruction', async () => {
    const halves = linearFile(
      [
        [0.5, 0.5],
        [0.5, 0.5],
      ],
      [0, 0],
    );
    const csv = 'x,y,label\n1,1,normal\n2,2,normal\n3,-3,odd\n1,0.9,normal\n0,2,odd\n';
    const { value } = await evaluate(halves, csv, '--output', 'reconstruction', '--threshold', '0.5');
    expect(value).toMatchObject({ output: 'reconstruction', accuracy: 1, auc: 1, calibrationError: null });
    const without = await evaluate(halves, csv, '--output', 'reconstruction');
    expect(without.value).toMatchObject({ accuracy: null, auc: 1 });
    expect(without.value.warnings).toContain('the accuracy is only computed with --threshold');
  });

  it('numbers non-index labels in sorted order, and reports the order', async () => {
    const { value } = await evaluate(threeClasses, rowsOf(['ant', 'bee', 'cat']));
    expect(value).toMatchObject({ accuracy: 1, classes: ['ant', 'bee', 'cat'] });
    expect(value.warnings[0]).toContain('labels were numbered in sorted order: ant = 0, bee = 1, cat = 2');
    const named = await evaluate(threeClasses, rowsOf(['cat', 'bee', 'ant']), '--classes', 'cat,bee,ant');
    expect(named.value).toMatchObject({ accuracy: 1, classes: ['cat', 'bee', 'ant'], warnings: [] });
    const numbers = await evaluate(threeClasses, rowsOf(['2', '10', '20']));
    expect(numbers.value.classes).toEqual(['2', '10', '20']);
  });

  it('warns if a probability belongs to the other class', async () => {
    const csv = 'x,label\n-1,normal\n-2,normal\n1,anomaly\n2,anomaly\n';
    const { value } = await evaluate(linearFile([[2]], [0], 'LOGISTIC'), csv);
    expect(value).toMatchObject({ accuracy: 0, auc: 0 });
    expect(value.warnings[1]).toContain('--classes normal,anomaly');
  });

  it.each([
    ['another order', ['cat', 'ant', 'bee'], true],
    ['the sorted order', ['ant', 'bee', 'cat'], false],
  ])('proposes another class order only if it fits far better: %s', async (_name, order, proposed) => {
    const csv = rowsOf(order).trim().split('\n');
    const rows = [csv[0], ...Array.from({ length: 4 }, () => csv.slice(1)).flat()].join('\n');
    const { value } = await evaluate(threeClasses, `${rows}\n`);
    const said = value.warnings.some((text) => text.endsWith(`--classes ${order.join(',')}?`));
    expect(said).toBe(proposed);
  });

  it('asks whether the rows are scaled if all get the same prediction', async () => {
    const { value } = await evaluate(linearFile([[2]], [0], 'LOGISTIC'), 'x,label\n900,0\n800,0\n950,1\n');
    expect(value.warnings).toEqual([
      expect.stringContaining('every row got the same prediction, 1: are the rows scaled'),
    ]);
  });

  it('writes raw outputs as real values, with integers alongside on request', async () => {
    const graph = mlp(seededRandom(4), [2, 4, 3]);
    const csv = 'a,b\n0.5,-1\n0,0\n2,2\n';
    const { value, dir } = await evaluate(
      writeTflite(graph),
      csv,
      '--outputs',
      'DIR/out.csv',
      '--integers',
      '--runtime',
      'device',
    );
    expect(value).toMatchObject({ n: 3, accuracy: null, outputs: join(dir, 'out.csv'), precision: 'int8' });
    const [head, ...lines] = (await readFile(join(dir, 'out.csv'), 'utf8')).trim().split('\n');
    expect(head).toBe('output_0,output_1,output_2,integer_0,integer_1,integer_2');
    expect(lines).toHaveLength(3);
    for (const line of lines) {
      const cells = line.split(',').map(Number);
      for (let o = 0; o < 3; o++) expect(cells[o]).toBe((cells[o + 3]! + 128) / 256);
    }
  });

  it('does not overwrite the rows with the outputs', async () => {
    const csv = 'x,y,z,label\n1,0,0,0\n0,1,0,1\n';
    const { json, dir } = await evaluate(threeClasses, csv, '--outputs', 'DIR/rows.csv');
    expect(json).toMatchObject({ error: { code: 'AIOT_FILE_IS_INPUT' } });
    expect(await readFile(join(dir, 'rows.csv'), 'utf8')).toBe(csv);
  });

  it('omits the macro-F1 interval if grouped rows show no spread', async () => {
    const labels = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? '1,0,0,0' : '0,1,0,1'));
    const csv = `x,y,z,label,recording\n${labels.map((row, i) => `${row},r${i % 4}`).join('\n')}\n`;
    const { value } = await evaluate(threeClasses, csv);
    expect(value).toMatchObject({ n: 40, accuracy: 1, intervals: { macroF1: null } });
  });

  it('prints human-readable metrics', async () => {
    const { argv } = await evaluate(threeClasses, rowsOf(['0', '1', '1']));
    const { stdout } = await runCli(argv);
    expect(stdout).toMatch(/Accuracy +66\.7 % of 3 rows \(95 %: 20\.8–93\.9\)/);
    expect(stdout).toMatch(/class +rows +precision/);
    expect(stdout).toContain('Next: aiot model fit');
  });

  it('prints the metrics and exits with 6 if a gate fails', async () => {
    const flags = ['--gate', 'macroF1=0.9', '--gate', 'auc=0.5', '--gate', 'bytes=500'];
    const { value, code, argv } = await evaluate(threeClasses, rowsOf(['0', '1', '1']), ...flags);
    expect(code).toBe(6);
    expect(value.gates.map(({ name, passed }) => [name, passed])).toEqual([
      ['macroF1', false],
      ['auc', true],
      ['bytes', false],
    ]);
    expect(value).toMatchObject({ passed: false, error: { code: 'AIOT_GATE_FAILED' } });
    const people = await runCli(argv);
    expect(people.code).toBe(6);
    expect(people.stdout).toContain('✗');
    expect(people.stderr).toContain('macro-F1: expected at least 0.9');
  });

  const good = rowsOf(['0', '1', '2']);
  it.each([
    ['missing rows', null, [], 'AIOT_USAGE', /rows are needed/],
    ['too few columns', 'x,y,label\n1,2,0\n', [], 'AIOT_DATA_COLUMNS', /expected 3 columns.* got 2/],
    ['a missing label column', 'x,y,z\n1,2,3\n', [], 'AIOT_DATA_COLUMNS', /expected a column "label"/],
    [
      'an unknown label column',
      good,
      ['--label', 'state'],
      'AIOT_DATA_COLUMNS',
      /no label column "state".* x, y, z, label/,
    ],
    ['labels out of range', rowsOf(['0', '1', '7']), ['--classes', 'a,b,c'], 'AIOT_LABELS_UNFIT', /row 3/],
    [
      'more distinct labels than classes',
      `${good}1,1,1,9\n`,
      [],
      'AIOT_LABELS_UNFIT',
      /expected 3 distinct labels/,
    ],
    ['too few class names', good, ['--classes', 'a,b'], 'AIOT_LABELS_UNFIT', /expected 3 classes/],
    ['a duplicate class name', good, ['--classes', 'a,b,b'], 'AIOT_LABELS_UNFIT', /b is listed twice/],
    [
      'the wrong output kind',
      good,
      ['--output', 'value'],
      'AIOT_MODEL_UNFIT',
      /expected a model with 1 output, got 3/,
    ],
    [
      'an unknown gate',
      good,
      ['--gate', 'makroF1=1'],
      'AIOT_USAGE',
      /expected METRIC=LIMIT such as macroF1=0\.95, got "makroF1=1"\. Did you mean macroF1=1\?$/,
    ],
    ['a gate without a number', good, ['--gate', 'auc=high'], 'AIOT_USAGE', /expected a number/],
    ['an invalid threshold', good, ['--threshold', 'much'], 'AIOT_USAGE', /expected a number, got "much"/],
    ['an unknown runtime', good, ['--runtime', 'tpu'], 'AIOT_USAGE', /litert/],
  ] as const)('rejects %s', async (_name, csv, flags, code, message) => {
    const dir = await temporaryFolder();
    await writeFile(join(dir, 'm.tflite'), threeClasses);
    if (csv !== null) await writeFile(join(dir, 'rows.csv'), csv);
    const data = csv === null ? [] : ['--data', join(dir, 'rows.csv')];
    const result = await runCli(['model', 'evaluate', join(dir, 'm.tflite'), ...data, ...flags, '--json']);
    expect(result.json).toMatchObject({ error: { code } });
    expect((result.json as { error: { message: string } }).error.message).toMatch(message);
    expect(result.code).toBe(2);
  });

  it.each([
    ['dynamic range', dynamicNetwork, '(dynamic range)'],
    ['float16', halfNetwork, '(DEQUANTIZE): float16 weights'],
  ])('rejects %s on the device interpreter, with the reason and a fix', async (_name, make, reason) => {
    const { value } = await evaluate(make(), 'x,label\n1,0\n', '--runtime', 'device');
    expect(value.error).toMatchObject({ code: 'AIOT_TFLITE_UNSUPPORTED' });
    expect(value.error?.message).toContain(reason);
    expect(value.error?.next).toContain('--runtime litert');
  });
});

/** A dense layer with a float16 weight that a DEQUANTIZE operator converts. */
function halfNetwork(): Uint8Array {
  return writeTflite({
    name: 'main',
    description: '',
    tensors: [
      { name: 'x', shape: [1, 1], type: 'float32' },
      { name: 'h', shape: [1, 1], type: 'float16', data: Uint16Array.of(0x3c00) },
      { name: 'w', shape: [1, 1], type: 'float32' },
      { name: 'y', shape: [1, 1], type: 'float32' },
    ],
    operators: [
      { op: 'DEQUANTIZE', inputs: [1], outputs: [2], options: {} },
      {
        op: 'FULLY_CONNECTED',
        inputs: [0, 2, -1],
        outputs: [3],
        options: { activation: 'none', keepNumDims: false },
      },
    ],
    inputs: [0],
    outputs: [3],
  } as Graph);
}

/** A dense layer with int8 weights and float32 activations. */
function dynamicNetwork(): Uint8Array {
  const quantization = { scale: [Math.fround(0.01)], zeroPoint: [0], axis: 0 };
  const graph: Graph = {
    name: 'main',
    description: '',
    tensors: [
      { name: 'x', shape: [1, 1], type: 'float32' },
      { name: 'w', shape: [1, 1], type: 'int8', data: Int8Array.of(100), quantization },
      { name: 'y', shape: [1, 1], type: 'float32' },
    ],
    operators: [
      {
        op: 'FULLY_CONNECTED',
        inputs: [0, 1, -1],
        outputs: [2],
        options: { activation: 'none', keepNumDims: false },
      },
    ],
    inputs: [0],
    outputs: [2],
  };
  return writeTflite(graph);
}

describe('aiot model evaluate on files from TensorFlow’s converter', () => {
  // Accuracy and AUC were measured with ai-edge-litert. The expected outputs are its predictions.
  it.each([
    ['f32', 'litert', 0.909, 0.95203, 'f32.litert.pred.csv', 1e-6],
    ['f32', 'device', 0.909, 0.95203, 'f32.litert.pred.csv', 1e-6],
    ['f16', 'litert', 0.909, 0.95203, 'f32.litert.pred.csv', 1e-3],
    ['dyn', 'litert', 0.9095, 0.95204, 'f32.litert.pred.csv', 0.02],
    ['int8', 'litert', 0.91, 0.95222, 'int8.litert.pred.csv', 0],
    ['int8', 'device', 0.91, 0.95222, 'int8.litert.pred.csv', 0.0235],
    ['i16x8', 'litert', 0.909, 0.95205, 'i16x8.litert.pred.csv', 2e-4],
    ['i16x8', 'device', 0.909, 0.95205, 'i16x8.litert.pred.csv', 3e-4],
  ])('%s on %s has accuracy %f and AUC %f', async (name, runtime, accuracy, auc, golden, most) => {
    const lines = motorFile('test.csv').toString().trim().split('\n');
    const inputs = motorRows(golden);
    const rows = lines.slice(1).map((line, i) => `${[...inputs[i]!.x].join(',')},${line.split(',')[4]}`);
    const { value, dir } = await evaluate(
      join(motorFolder, `${name}.tflite`),
      `${lines[0]}\n${rows.join('\n')}\n`,
      '--label',
      'label',
      '--runtime',
      runtime,
      '--outputs',
      'DIR/out.csv',
    );
    expect(value).toMatchObject({ n: 2000, accuracy, output: 'probability' });
    expect(value.auc).toBeCloseTo(auc, 4);
    const got = (await readFile(join(dir, 'out.csv'), 'utf8')).trim().split('\n');
    expect(got[0]).toBe('output_0');
    const worst = inputs.map(({ y }, row) => Math.abs(Number(got[row + 1]) - y));
    expect(Math.max(...worst)).toBeLessThanOrEqual(most);
  });
});
