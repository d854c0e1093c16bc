import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { readSource } from '../../src/lib/model/import/open.js';
import { simplifyGraph } from '../../src/lib/model/network/simplify.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { openLiteRt } from '../../src/lib/runtime/litert.js';
import { root, runCli } from '../support/cli.js';
import { describeReal, python } from '../support/real.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-keras-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Answers {
  inputs: number[][];
  outputs: number[][];
}

describeReal('tensorflow', 'importing Keras files', () => {
  beforeAll(async () => {
    const script = join(root, 'test/support/python/keras_models.py');
    await promisify(execFile)(python('tensorflow'), [script, folder]);
  }, 120_000);

  const names = [
    ...['mlp', 'conv1d', 'conv2d', 'steps', 'grouped1d', 'grouped2d'],
    ...['branches', 'nested', 'shared', 'normalized', 'gelu'],
    ...['recurrent', 'recurrent-last', 'recurrent-gru', 'recurrent-ways', 'recurrent-hard'],
  ];
  it.each(names.flatMap((name) => [`${name}.keras`, `${name}.h5`]))(
    '%s matches Keras to 1e-5',
    async (file) => {
      const { inputs, outputs } = JSON.parse(
        readFileSync(join(folder, file.replace(/\.\w+$/, '.json')), 'utf8'),
      ) as Answers;
      const { graph, writer } = await readSource(join(folder, file));
      expect(writer).toMatch(/^Keras 3/);
      const simple = simplifyGraph(graph);
      expect(simple.operators.length).toBeLessThanOrEqual(graph.operators.length);
      const interpreter = createInterpreter(simple);
      const litert = await openLiteRt(writeTflite(simple));
      inputs.forEach((input, row) => {
        const x = Float32Array.from(input);
        for (const got of [interpreter.invoke(x), litert.predict(x)]) {
          outputs[row]!.forEach((value, i) => {
            expect(Math.abs(got[i]! - value)).toBeLessThan(1e-5 * Math.max(1, Math.abs(value)));
          });
        }
      });
      litert.close();
    },
  );

  it.each([
    [
      'backwards.keras',
      /layer 1 \(lstm\w*, LSTM\): go_backwards with return_sequences is not supported; use/,
    ],
    ['cell.keras', /layer 1 \(rnn, RNN\): RNN is not supported; use LSTM, GRU or Conv1D/],
    [
      'stateful.keras',
      /layer 1 \(gru\w*, GRU\): stateful is not supported; save the model with stateful=False/,
    ],
    ['softmax.keras', /layer 1 \(gru\w*, GRU\): the activation "softmax" is not supported; use tanh/],
    ['softplus.keras', /layer 1 \(conv1d\w*, Conv1D\): the activation "softplus" is not supported; use relu/],
    ['open.keras', /its shape is \[null,null,2\]/],
  ])('%s is rejected, naming the unsupported layer or shape and any replacement', async (file, message) => {
    await expect(readSource(join(folder, file))).rejects.toMatchObject({
      code: 'AIOT_LAYER_UNSUPPORTED',
      message: expect.stringMatching(message),
    });
  });

  it.each(['conv1d.h5', 'conv1d.keras'])(
    '%s with random damage is read or rejected with a clear error',
    async (file) => {
      const whole = readFileSync(join(folder, file));
      const random = seededRandom(1);
      let refused = 0;
      for (let n = 0; n < 60; n++) {
        const damaged = Buffer.from(whole);
        const at = Math.floor(random() * damaged.length);
        if (n % 3 === 0) damaged.fill(0, at);
        else damaged[at]! ^= 1 + Math.floor(random() * 255);
        const path = join(folder, 'damaged');
        writeFileSync(path, n % 3 === 1 ? damaged.subarray(0, at) : damaged);
        try {
          await readSource(path);
        } catch (error) {
          refused += 1;
          expect(error).toMatchObject({
            code: expect.stringMatching(/^AIOT_(FILE_MALFORMED|LAYER_UNSUPPORTED)$/),
          });
        }
      }
      expect(refused).toBeGreaterThan(20);
    },
  );

  it('an imported file works with quantize and inspect', async () => {
    const [out, int8, rows] = ['mlp.tflite', 'mlp.int8.tflite', 'rows.csv'].map((name) => join(folder, name));
    const imported = await runCli(['model', 'import', join(folder, 'mlp.keras'), '--out', out!, '--json']);
    expect(imported).toMatchObject({ code: 0, json: { format: 'keras', layers: 6, file: out } });
    const { inputs } = JSON.parse(readFileSync(join(folder, 'mlp.json'), 'utf8')) as Answers;
    writeFileSync(rows!, ['a,b,c,d,e,f,g', ...inputs.map((row) => row.join(','))].join('\n'));
    const quantized = await runCli(['model', 'quantize', out!, '--data', rows!, '--out', int8!, '--json']);
    expect(quantized).toMatchObject({ code: 0, json: { mode: 'int8' } });
    expect(await runCli(['model', 'inspect', int8!, '--json'])).toMatchObject({ code: 0 });
  });
});
