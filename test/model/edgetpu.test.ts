import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { compileEdgeTpu, readEdgeTpu } from '../../src/lib/model/quantize/edgetpu.js';
import { quantizeResultSchema } from '../../src/lib/model/quantize/result.js';
import { runCli } from '../support/cli.js';
import { standInCompiler } from '../support/edgetpu-compiler.js';
import { motionBundle } from '../support/motion-bundle.js';

let folder: string;
const before = process.env.PATH;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-edgetpu-test-'));
});
afterEach(async () => {
  process.env.PATH = before;
  await rm(folder, { recursive: true, force: true });
});

async function network(): Promise<string> {
  const file = join(folder, 'net.tflite');
  await writeFile(file, unpackBundle(motionBundle()).model);
  return file;
}

/** A dense layer from 4 inputs to 3 outputs, and a softmax. */
function floatNetwork(random: () => number): Uint8Array {
  const values = (count: number) => Float32Array.from({ length: count }, () => random() - 0.5);
  const tensor = (name: string, shape: number[], data?: Float32Array) => ({
    ...{ name, shape, type: 'float32' as const },
    ...(data ? { data } : {}),
  });
  return writeTflite({
    name: 'main',
    description: '',
    tensors: [
      tensor('x', [1, 4]),
      tensor('w', [3, 4], values(12)),
      tensor('b', [3], values(3)),
      tensor('z', [1, 3]),
      tensor('y', [1, 3]),
    ],
    operators: [
      {
        op: 'FULLY_CONNECTED',
        inputs: [0, 1, 2],
        outputs: [3],
        options: { activation: 'none', keepNumDims: false },
      },
      { op: 'SOFTMAX', inputs: [3], outputs: [4], options: { beta: 1 } },
    ],
    inputs: [0],
    outputs: [4],
  });
}

it('the Edge TPU compiler compiles a model, and its result names the source and where each operator runs', async () => {
  const compiler = await standInCompiler(join(folder, 'bin'));
  const file = await network();
  const from = digestOf(await readFile(file));
  const made = await compileEdgeTpu(file, { compiler });
  expect(made).toMatchObject({
    file: join(folder, 'net_edgetpu.tflite'),
    from,
    compiler: '16.0.384591198',
    ops: [
      { op: 'FULLY_CONNECTED', count: 2, onTpu: true, status: 'Mapped to Edge TPU' },
      { op: 'SOFTMAX', count: 1, onTpu: false, status: 'Max 16000 elements supported' },
    ],
  });
  expect(await readEdgeTpu(made.file, from)).toHaveLength(made.bytes);
  expect(await readEdgeTpu(made.file, digestOf('another network'))).toBeNull();
  await writeFile(made.file, 'changed');
  expect(await readEdgeTpu(made.file, from)).toBeNull();
});

it('the Edge TPU compilation fails with the compiler’s message if it maps no operator or cannot parse the model', async () => {
  const idle = await standInCompiler(join(folder, 'idle'), false);
  const file = await network();
  await expect(compileEdgeTpu(file, { compiler: idle })).rejects.toMatchObject({
    code: 'AIOT_EDGETPU_FAILED',
    message: expect.stringContaining('no operator of net.tflite was mapped'),
  });
  await writeFile(file, 'no network at all');
  await expect(compileEdgeTpu(file, { compiler: idle })).rejects.toMatchObject({
    code: 'AIOT_EDGETPU_FAILED',
    message: expect.stringContaining('Unable to parse model'),
  });
});

it('aiot model quantize checks for the Edge TPU compiler first, and reports the compiled model', async () => {
  const random = seededRandom(1);
  const file = join(folder, 'float.tflite');
  await writeFile(file, floatNetwork(random));
  const rows = Array.from({ length: 40 }, () => Array.from({ length: 4 }, () => random().toFixed(4)).join());
  const data = join(folder, 'rows.csv');
  await writeFile(data, `a,b,c,d\n${rows.join('\n')}\n`);
  const out = join(folder, 'net.tflite');
  const argv = ['model', 'quantize', file, '--data', data, '--out', out, '--target', 'edgetpu', '--json'];
  process.env.PATH = join(folder, 'nothing');
  const missing = await runCli(argv);
  expect(missing.code).toBe(4);
  expect(missing.json).toMatchObject({ error: { code: 'AIOT_PROGRAM_NOT_FOUND' } });
  await expect(readFile(out)).rejects.toThrow();
  await standInCompiler(join(folder, 'bin'));
  process.env.PATH = `${join(folder, 'bin')}:${before}`;
  const result = quantizeResultSchema.parse((await runCli(argv)).json);
  expect(result.edgetpu).toMatchObject({ file: join(folder, 'net_edgetpu.tflite'), from: result.digest });
  const { stdout } = await runCli(argv.slice(0, -1));
  expect(stdout).toMatch(/Edge TPU +.*2 FULLY_CONNECTED on the TPU; on the CPU SOFTMAX/);
});
