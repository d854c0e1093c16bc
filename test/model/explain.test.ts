import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { evaluateProject } from '../../src/lib/model/evaluate/evaluate-project.js';
import { type Explanation, explanationSchema } from '../../src/lib/model/inspect/explanation.js';
import { quantizeProject } from '../../src/lib/model/quantize/quantize-project.js';
import { writeReport } from '../../src/lib/model/report/write-report.js';
import { trainProject } from '../../src/lib/model/train/train-project.js';
import { runCli } from '../support/cli.js';
import { linearFile } from './linear.js';
import { temporaryFolder, toyProject } from './support.js';

/** Rows whose class depends only on x; y partly follows x, and z is unrelated. */
function rows(count: number): string {
  const random = seededRandom(5);
  const lines = Array.from({ length: count }, (_, i) => {
    const own = i % 2;
    const x = own === 0 ? -1 - random() : 1 + random();
    return `${x},${random() - 0.5},${random() - 0.5},${own}`;
  });
  return `x,y,z,label\n${lines.join('\n')}\n`;
}

async function explain(network: Uint8Array, csv: string, ...flags: string[]) {
  const dir = await temporaryFolder();
  const [file, data] = [join(dir, 'model.tflite'), join(dir, 'rows.csv')];
  await writeFile(file, network);
  await writeFile(data, csv);
  const argv = ['model', 'explain', file, '--data', data, ...flags];
  const result = await runCli([...argv, '--json']);
  return { ...result, value: result.json as Explanation, argv };
}

const network = linearFile([[2, 0.5, 0]], [0], 'LOGISTIC');

describe('aiot model explain', () => {
  it('finds the deciding feature, and gives no importance to an unused one', async () => {
    const { value, code, argv } = await explain(network, rows(200));
    expect(code).toBe(0);
    expect(explanationSchema.parse(value)).toEqual(value);
    expect(value).toMatchObject({ metric: 'macroF1', base: 1, n: 200, output: 'probability', seed: 7 });
    const [most, ...others] = value.importance;
    expect(most!.feature).toBe('x');
    // Shuffling gives half of the rows a value from the other class.
    expect(most!.loss).toBeGreaterThan(0.4);
    expect(most!.loss).toBeLessThan(0.6);
    expect(others.find(({ feature }) => feature === 'z')).toMatchObject({ loss: 0, deviation: 0 });
    const { over, parts, classes } = value.saliency;
    expect({ over, parts }).toEqual({ over: 'features', parts: ['x', 'y', 'z'] });
    for (const { n, values } of classes) {
      expect(n).toBe(100);
      // With x at its mean, 0, the probability is about one half.
      expect(values[0]![0]).toBeGreaterThan(0.4);
      expect(Math.abs(values[0]![2]!)).toBeLessThan(1e-6);
    }
    const { stdout } = await runCli(argv);
    expect(stdout).toMatch(/x +1 +0\.\d+ ± 0\.\d+ +█+/);
    expect(stdout).toContain('depends most on x');
  });

  it('produces the same result for the same seed, and a different one for another seed', async () => {
    const once = await explain(network, rows(60));
    const again = await explain(network, rows(60));
    const other = await explain(network, rows(60), '--seed', '8');
    expect(again.value.importance).toEqual(once.value.importance);
    expect(other.value.importance).not.toEqual(once.value.importance);
  });

  it('measures regression outputs by their mean error', async () => {
    const { value } = await explain(linearFile([[3, 0]], [0]), 'a,b,label\n1,9,3\n2,5,6\n3,7,9\n4,1,12\n');
    expect(value).toMatchObject({ metric: 'mae', base: 0, output: 'value' });
    expect(value.importance[0]!.feature).toBe('a');
    expect(value.importance[1]).toMatchObject({ feature: 'b', loss: 0 });
  });

  it('shows a project’s fields and window segments, including in its report', async () => {
    const project = await toyProject();
    await trainProject({ project });
    await quantizeProject({ project });
    await evaluateProject({ project });
    const { json, code } = await runCli(['model', 'explain', '--project', project.dir, '--json']);
    const value = json as Explanation;
    expect(code).toBe(0);
    expect(value.importance.map(({ feature, inputs }) => `${feature} ${inputs}`).sort()).toEqual([
      'x 50',
      'y 50',
    ]);
    // Slow and fast motion tilt x in opposite directions.
    expect(value.importance[0]!.feature).toBe('x');
    expect(value.saliency).toMatchObject({ over: 'time', fields: ['x', 'y'] });
    expect(value.saliency.parts).toHaveLength(20);
    expect(value.saliency.parts[1]).toBe('0.04 s');
    const people = await runCli(['model', 'explain', '--project', project.dir]);
    expect(people.stdout).toContain('Saliency of each class over the window');
    const file = join(project.dir, 'report.html');
    await writeReport({ file, project });
    expect(await readFile(file, 'utf8')).toContain('Feature importance and saliency');
  });

  it.each([
    ['no rows', [], 'AIOT_USAGE', 2],
    ['rows without labels', ['--data', 'x,y,z\n1,2,3\n'], 'AIOT_DATA_COLUMNS', 2],
    ['too few columns', ['--data', 'x,label\n1,0\n'], 'AIOT_DATA_COLUMNS', 2],
  ])('rejects a file with %s', async (_name, [flag, csv], code, exit) => {
    const dir = await temporaryFolder();
    const [file, data] = [join(dir, 'm.tflite'), join(dir, 'rows.csv')];
    await writeFile(file, network);
    if (csv !== undefined) await writeFile(data, csv);
    const argv = ['model', 'explain', file, ...(flag ? [flag, data] : []), '--json'];
    const result = await runCli(argv);
    expect(result.json).toMatchObject({ error: { code } });
    expect(result.code).toBe(exit);
  });

  it.each([
    ['--classes', 'a,b'],
    ['--output', 'value'],
  ])('rejects %s without a model file', async (flag, value) => {
    const result = await runCli(['model', 'explain', flag, value, '--json']);
    expect(result.json).toMatchObject({ error: { code: 'AIOT_USAGE' } });
    expect(result.code).toBe(2);
  });

  it('rejects a project without a built model', async () => {
    const project = await toyProject();
    const result = await runCli(['model', 'explain', '--project', project.dir, '--json']);
    expect(result.json).toMatchObject({ error: { code: 'AIOT_MODEL_NOT_BUILT' } });
    expect(result.code).toBe(4);
  });
});
