import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Deployed } from '../../src/lib/api/rollouts/deploy.js';
import { addContext } from '../../src/lib/core/contexts.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { quantizeInput } from '../../src/lib/signal/spec.js';
import { runCli } from '../support/cli.js';
import { motorFile, motorFolder } from '../support/motor-files.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

const fields = ['current', 'temperature', 'vibration', 'sound'];
const yaml = `name: motor
stream: { topic: motor, fields: { ${fields.map((name) => `${name}: { unit: '' }`).join(', ')} } }
signal: { rate: 1, window: 1, stride: 1, features: raw }
model:
  output: probability
  labels: { normal: ['0'], anomaly: ['1'] }
`;

let own: TestPlatform;
beforeAll(async () => {
  own = await testPlatform();
  vi.stubEnv('AIOT_CONFIG_DIR', join(own.folder, 'config'));
  const { urls, ca } = own.platform;
  await addContext('own', { url: urls.http, ca, token: own.token }, { use: true });
  mkdirSync(join(own.folder, 'config', 'keys'), { recursive: true });
  writeFileSync(join(own.folder, 'config', 'keys', 'own.pem'), own.key, { mode: 0o600 });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await own.stop();
});

async function run<T>(...args: string[]): Promise<T> {
  const { code, json, stdout, stderr } = await runCli([...args, '--json']);
  expect(code, stderr + stdout).toBe(0);
  return json as T;
}

describe('an int8 file of TensorFlow’s converter', () => {
  it('is imported, pushed and rolled out, and a device predicts what LiteRT predicts', async () => {
    const dir = join(own.folder, 'motor');
    mkdirSync(dir);
    writeFileSync(join(dir, 'aiot.yaml'), yaml);
    const csv = join(dir, 'test.csv');
    writeFileSync(csv, motorFile('test.csv'));
    const { mean, std } = JSON.parse(motorFile('weights.json').toString()) as Record<string, number[]>;
    const at = ['--project', dir, '--data', csv];
    const file = join(motorFolder, 'int8.tflite');
    await run('model', 'import', file, ...at, '--mean', mean!.join(), '--deviation', std!.join());
    await run('model', 'quantize', ...at);
    await run('model', 'evaluate', ...at);
    const pushed = await run<{ name: string; version: number }>('model', 'push', ...at, '--types', 'virtual');
    expect(pushed).toMatchObject({ name: 'motor', version: 1 });

    const identityDir = join(own.folder, 'motor-1');
    await provisionDevice({ client: own.client, name: 'motor-1', type: 'virtual', out: identityDir });
    const events: DeviceEvent[] = [];
    const device = await createVirtualDevice({ identityDir, onEvent: (event) => events.push(event) });
    try {
      await device.connect();
      const rollout = await run<Deployed>(
        ...['rollout', 'start', '--model', 'motor@1', '--selector', 'name=motor-1', '--wait'],
      );
      expect(rollout).toMatchObject({ state: 'done' });
      const rows = motorFile('test.csv').toString().trim().split('\n').slice(1);
      const samples = rows.map((row) => Float32Array.from(row.split(',').slice(0, 4), Number));
      const columns = fields.map((_, f) => Float64Array.from(samples, (sample) => sample[f]!));
      const take = { id: 'test', label: null, device: null, rateHz: 1, startedAt: 1_700_000_000_000 };
      const options = { stream: 'motor', speed: 'max' as const, predict: true };
      const replayed = await device.replay({ ...take, fields, columns }, options);
      expect(replayed).toMatchObject({ samples: 2000, inferences: 2000 });
      const values = events.flatMap((event) => (event.event === 'inference' ? [event.inference.value!] : []));

      // The file alone, with integers in and out.
      const graph = readTflite(readFileSync(file));
      const [input, output] = [graph.tensors[graph.inputs[0]!]!, graph.tensors[graph.outputs[0]!]!];
      const ends = [input, output].map(({ quantization }) => ({
        scale: quantization!.scale[0]!,
        zeroPoint: quantization!.zeroPoint[0]!,
      }));
      const interpreter = createInterpreter(graph);
      const expected = samples.map((sample) => {
        const q = quantizeInput(sample, { mean: mean!, deviation: std! }, ends[0]!);
        return ends[1]!.scale * (Number(interpreter.invoke(q)[0]) - ends[1]!.zeroPoint);
      });
      expect(values).toEqual(expected);
      // LiteRT rounds some inputs otherwise, in floating point.
      const litert = motorFile('int8.litert.pred.csv').toString().trim().split('\n').map(Number);
      const same = values.filter((value, i) => Math.abs(value - litert[i]!) < 1e-6).length;
      expect(same / values.length).toBeGreaterThan(0.98);
    } finally {
      await device.stop();
    }
  }, 120_000);
});
