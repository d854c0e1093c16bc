import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Project } from '../../src/lib/core/project.js';
import { evaluateProject } from '../../src/lib/model/evaluate/evaluate-project.js';
import { type Comparison, comparisonSchema } from '../../src/lib/model/inspect/comparison.js';
import { quantizeProject } from '../../src/lib/model/quantize/quantize-project.js';
import { trainProject } from '../../src/lib/model/train/train-project.js';
import { runCli } from '../support/cli.js';
import { motorFile, motorFolder, motorRows } from '../support/motor-files.js';
import { linearFile } from './linear.js';
import { temporaryFolder, toyProject } from './support.js';

async function files(a: Uint8Array, b: Uint8Array, csv: string) {
  const dir = await temporaryFolder();
  const [first, second, data] = ['a.tflite', 'b.tflite', 'rows.csv'].map((name) => join(dir, name));
  await writeFile(first!, a);
  await writeFile(second!, b);
  await writeFile(data!, csv);
  return { a: first!, b: second!, data: data! };
}

async function compare(...argv: string[]) {
  const result = await runCli(['model', 'compare', ...argv, '--json']);
  return { ...result, value: result.json as Comparison };
}

/** One model predicts the larger of x and y, and the other always predicts the first class. */
const larger = linearFile(
  [
    [9, 0],
    [0, 9],
  ],
  [0, 0],
  'SOFTMAX',
);
const first = linearFile(
  [
    [0, 0],
    [0, 0],
  ],
  [1, 0],
  'SOFTMAX',
);
const csv = 'x,y,label\n1,0,a\n0,1,b\n0,1,b\n0,1,a\n1,0,b\n';

describe('aiot model compare', () => {
  it('counts predictions where the models differ, and tests the difference for significance', async () => {
    const at = await files(larger, first, csv);
    const { value, code } = await compare(at.a, at.b, '--data', at.data);
    expect(code).toBe(0);
    expect(comparisonSchema.parse(value)).toEqual(value);
    expect(value).toMatchObject({ n: 5, output: 'classes' });
    expect(value.a.figures).toMatchObject({ accuracy: 0.6 });
    expect(value.b.figures).toMatchObject({ accuracy: 0.4 });
    expect(value.paired).toMatchObject({ bothRight: 1, onlyARight: 2, onlyBRight: 1, bothWrong: 1, p: 1 });
    expect(value.paired!.difference).toBeCloseTo(-0.2, 12);
    expect(value.disagreement).toMatchObject({
      rows: 3,
      share: 0.6,
      table: [
        { truth: 'b', a: 'b', b: 'a', rows: 2 },
        { truth: 'a', a: 'b', b: 'a', rows: 1 },
      ],
    });
    expect(value.disagreement!.examples.map(({ row }) => row)).toEqual([2, 3, 4]);
    const { stdout } = await runCli(['model', 'compare', at.a, at.b, '--data', at.data]);
    expect(stdout).toMatch(/Correct only in +A: 2 rows, B: 1 \(exact McNemar/);
    expect(stdout).toMatch(/truth +A predicts +B predicts +rows/);
  });

  it('compares predictions on unlabeled rows, and files without rows', async () => {
    const at = await files(larger, first, 'x,y\n1,0\n0,1\n');
    const { value } = await compare(at.a, at.b, '--data', at.data, '--runtime', 'device');
    expect(value).toMatchObject({ paired: null, runtime: 'device', notes: ['the rows have no labels'] });
    expect(value.a.figures).toBeNull();
    expect(value.disagreement).toMatchObject({ rows: 1, table: [{ truth: null, a: '1', b: '0', rows: 1 }] });
    const alone = await compare(at.a, at.b);
    expect(alone.value).toMatchObject({ data: null, disagreement: null, a: { macs: 4, parameters: 6 } });
  });

  it('compares regression outputs by their errors', async () => {
    const at = await files(linearFile([[1]], [0]), linearFile([[1]], [0.5]), 'x,label\n1,1\n2,2\n3,3.5\n');
    const { value } = await compare(at.a, at.b, '--data', at.data);
    expect(value).toMatchObject({ output: 'value', paired: null, disagreement: null });
    expect(value.a.figures!.mae).toBeCloseTo(1 / 6, 6);
    expect(value.b.figures!.mae).toBeCloseTo(1 / 3, 6);
    expect(value.largestDifference).toBeCloseTo(0.5, 6);
  });

  it('rejects models with different numbers of outputs, and missing files', async () => {
    const at = await files(larger, linearFile([[1, 1]], [0]), csv);
    const { json, code } = await compare(at.a, at.b, '--data', at.data);
    expect(json).toMatchObject({ error: { code: 'AIOT_MODEL_UNFIT' } });
    expect(code).toBe(2);
    const missing = await compare(at.a, 'nowhere.tflite');
    expect(missing.json).toMatchObject({ error: { code: 'AIOT_FILE_NOT_FOUND' } });
    expect(missing.code).toBe(4);
  });
});

describe('aiot model compare of a project', () => {
  let project: Project;
  beforeAll(async () => {
    project = await toyProject();
    await trainProject({ project });
    await quantizeProject({ project });
    await evaluateProject({ project });
  });

  it('compares the float and quantized models on the test set', async () => {
    const { value } = await compare(join(project.dir, 'build', 'model.float.tflite'), project.dir);
    expect(value).toMatchObject({ a: { precision: 'float32' }, b: { precision: 'int8' } });
    expect(value.data).toBe(`${project.dir} (test set)`);
    expect(value.paired!.rows).toBe(value.n);
    expect(value.disagreement!.share).toBeLessThan(0.05);
  });

  it('rejects a project without a built model', async () => {
    const { json } = await compare((await toyProject()).dir, project.dir);
    expect(json).toMatchObject({ error: { code: 'AIOT_MODEL_NOT_BUILT' } });
  });
});

describe('aiot model compare of files from TensorFlow’s converter', () => {
  it('finds no significant difference between float and int8', async () => {
    const lines = motorFile('test.csv').toString().trim().split('\n');
    const inputs = motorRows('f32.litert.pred.csv');
    const rows = lines.slice(1).map((line, i) => `${[...inputs[i]!.x].join(',')},${line.split(',')[4]}`);
    const data = join(await temporaryFolder(), 'rows.csv');
    await writeFile(data, `${lines[0]}\n${rows.join('\n')}\n`);
    const at = ['f32', 'int8'].map((name) => join(motorFolder, `${name}.tflite`));
    const { value } = await compare(...at, '--data', data);
    expect(value.a.figures!.accuracy).toBe(0.909);
    expect(value.b.figures!.accuracy).toBe(0.91);
    expect(value.paired!.difference).toBeCloseTo(0.001, 12);
    expect(value.paired!.interval[0]).toBeLessThan(0);
    expect(value.paired!.p).toBeGreaterThan(0.05);
    expect(value.b.bytes).toBe(8048);
  });
});
