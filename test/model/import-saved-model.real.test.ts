import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readSource } from '../../src/lib/model/import/open.js';
import { simplifyGraph } from '../../src/lib/model/network/simplify.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { root } from '../support/cli.js';
import { describeReal, python, tfjsNode } from '../support/real.js';

const all = [
  'mlp',
  'conv1d',
  'conv2d',
  'grouped1d',
  'grouped2d',
  'branches',
  'nested',
  'shared',
  'normalized',
];
/** The other models contain nothing that these lack, and are exported only with AIOT_LONG=1. */
const names = process.env.AIOT_LONG === '1' ? all : ['conv1d', 'grouped2d', 'branches', 'normalized'];

/** tfjs-node is built from the installed TensorFlow, so wherever tfjs-node is installed, TensorFlow is too. */
describeReal('tfjs-node', 'importing a SavedModel', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-saved-'));
  const before = process.cwd();
  beforeAll(() => {
    const script = join(root, 'test/support/python/keras_models.py');
    const run = spawnSync(python('tensorflow'), [script, folder, ...names], { encoding: 'utf8' });
    if (run.status !== 0) throw new Error(run.stderr);
    process.chdir(tfjsNode);
  }, 180_000);
  afterAll(() => {
    process.chdir(before);
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(names)('%s matches Keras to 1e-5', async (name) => {
    const { inputs, outputs } = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as {
      inputs: number[][];
      outputs: number[][];
    };
    const { graph, format } = await readSource(join(folder, `${name}.saved`));
    expect(format).toBe('saved-model');
    const interpreter = createInterpreter(simplifyGraph(graph));
    inputs.forEach((input, row) => {
      const got = interpreter.invoke(Float32Array.from(input));
      outputs[row]!.forEach((value, i) => {
        expect(Math.abs(got[i]! - value)).toBeLessThan(1e-5 * Math.max(1, Math.abs(value)));
      });
    });
  });

  it('rejects a truncated graph', async () => {
    const cut = join(folder, 'cut.saved');
    cpSync(join(folder, 'branches.saved'), cut, { recursive: true });
    const whole = readFileSync(join(cut, 'saved_model.pb'));
    writeFileSync(join(cut, 'saved_model.pb'), whole.subarray(0, whole.length - 1000));
    await expect(readSource(cut)).rejects.toMatchObject({ code: 'AIOT_FILE_MALFORMED' });
  });
});
