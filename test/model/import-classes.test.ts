import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { inOrderOf } from '../../src/lib/model/import/adopt.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { runCli } from '../support/cli.js';
import { FloatNetwork } from '../support/float-network.js';
import { linearFile } from './linear.js';
import { temporaryFolder } from './support.js';

const names = ['ant', 'bee', 'cat'];
/**
 * The classes of a model that predicts the largest of its inputs: output 0 is "cat", 1 is "ant", and 2 is
 * "bee".
 */
const order = ['cat', 'ant', 'bee'];
let folder: string;
let rows: string;
let network: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  rows = join(folder, 'rows.csv');
  const lines = Array.from({ length: 120 }, (_, i) => {
    const cells = [0, 0, 0].map((_, c) => (i % 3 === c ? 3 + (i % 7) / 10 : (i % 5) / 10));
    return `${cells.join(',')},${order[i % 3]}`;
  });
  writeFileSync(rows, `x,y,z,label\n${lines.join('\n')}\n`);
  network = join(folder, 'theirs.tflite');
  const identity = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ];
  writeFileSync(network, linearFile(identity, [0, 0, 0], 'SOFTMAX'));
});

async function imported(name: string, ...flags: string[]) {
  const project = join(folder, name);
  mkdirSync(project);
  return await runCli(['model', 'import', network, '--project', project, '--data', rows, '--json', ...flags]);
}

describe('aiot model import --classes', () => {
  it('reorders outputs to match the project', async () => {
    const { json, code } = await imported('ordered', '--classes', order.join(','));
    expect(json).toMatchObject({ validation: { accuracy: 1 } });
    expect(code).toBe(0);
    const said = (json as { notes: string[] }).notes.join('\n');
    expect(said).not.toContain('another order');
  });

  it('suggests the better order if none is given', async () => {
    const { json } = await imported('unordered');
    expect(json).toMatchObject({ validation: { accuracy: 0 } });
    const { notes } = json as { notes: string[] };
    expect(notes).toContainEqual(expect.stringContaining(`--classes ${order.join(',')}?`));
  });

  it('suggests the file’s order if a wrong one is given', async () => {
    const { json } = await imported('wrong', '--classes', 'bee,ant,cat');
    const { notes } = json as { notes: string[] };
    expect(notes).toContainEqual(expect.stringContaining(`--classes ${order.join(',')}?`));
  });

  it('rejects unknown class names', async () => {
    const { json, code } = await imported('others', '--classes', 'ant,bee,dog');
    expect(json).toMatchObject({ error: { code: 'AIOT_LABELS_UNFIT' } });
    expect(code).toBe(2);
  });
});

describe('reordering outputs', () => {
  it('converts a probability into that of the other class', () => {
    const n = new FloatNetwork(seededRandom(3));
    const x = n.float([1, 2]);
    const whole = n.graph(x, n.unary(n.dense(x, 1), 'LOGISTIC'));
    const [p] = createInterpreter(whole).invoke(Float32Array.of(1, -2));
    const turned = inOrderOf(whole, ['b', 'a'], ['a', 'b'], 'probability');
    const [q] = createInterpreter(turned).invoke(Float32Array.of(1, -2));
    expect(p! + q!).toBeCloseTo(1, 6);
  });

  it('requires a final dense layer, and leaves ordered outputs unchanged', () => {
    const n = new FloatNetwork(seededRandom(3));
    const x = n.float([1, 3]);
    const graph = n.graph(x, n.softmax(x));
    expect(inOrderOf(graph, names, names, 'classes')).toBe(graph);
    expect(() => inOrderOf(graph, order, names, 'classes')).toThrow(/dense layer/);
  });
});
