import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import {
  expectClose,
  expectSameBits,
  type Network,
  networkOf,
  quantizedNetworks,
} from '../support/judged-networks.js';
import { describeReal, python } from '../support/real.js';

/** The networks of fixed_keras.py, with the types that TensorFlow's converter makes of each. */
const made = {
  'lstm-unrolled': ['float32', 'int8', 'int16x8'],
  'gru-unrolled': ['float32', 'int8', 'int16x8'],
  // The converter crashes on integer loops. Our quantizer makes their int8 networks.
  'lstm-rolled': ['float32'],
  'gru-rolled': ['float32'],
  // The converter rejects NEG in int16x8.
  attention: ['float32', 'int8'],
  'separable-unet': ['float32', 'int8', 'int16x8'],
  'mobile-two-heads': ['float32', 'int8', 'int16x8'],
};

describeReal('tensorflow', 'Keras networks of the kinds that TinyML projects use', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-fixed-keras-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  beforeAll(async () => {
    const script = join(root, 'test', 'support', 'python', 'fixed_keras.py');
    await promisify(execFile)(python('tensorflow'), [script, folder], { maxBuffer: 2 ** 26 });
  }, 300_000);

  const networksOf = (kind: string): Network[] =>
    Object.entries(made)
      .filter(([, kinds]) => kinds.includes(kind))
      .map(([name], at) => {
        const network = networkOf(new Uint8Array(readFileSync(join(folder, `${name}.${kind}.tflite`))), at);
        // A rejected network is the reason as a text.
        expect(network, `${name} in ${kind}`).toBeTypeOf('object');
        return network as Network;
      });

  it('are converted to these types', () => {
    const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as Record<
      string,
      { made: string[] }
    >;
    expect(Object.fromEntries(Object.entries(index).map(([name, each]) => [name, each.made]))).toEqual(made);
  });

  describeReal('tflm', 'compared with TFLite Micro', () => {
    describeReal('litert', 'and with LiteRT', () => {
      it('match in float32, and have two outputs where the model has two heads', () => {
        const networks = networksOf('float32');
        expect(networks.map(({ graph }) => graph.outputs.length)).toEqual([1, 1, 1, 1, 1, 1, 2]);
        const unrolled = networks.filter(({ notes }) => /\d+ steps of loops are unrolled/.test(notes.join()));
        expect(unrolled).toHaveLength(2);
        expectClose(networks, 'litert');
        expectClose(networks);
      }, 300_000);

      it.each(['int8', 'int16x8'])(
        'match bit for bit in every tensor of the converter’s %s files',
        (kind) => {
          const networks = networksOf(kind);
          const whole = expectSameBits(networks);
          process.stderr.write(`${kind}: ${whole} of ${networks.length} run in TFLite Micro completely\n`);
        },
        300_000,
      );

      it('match bit for bit in every tensor when our quantizer makes them int8', () => {
        const networks = quantizedNetworks(networksOf('float32'));
        expect(expectSameBits(networks)).toBe(networks.length);
      }, 300_000);
    });
  });
});
