import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { long } from '../support/every-tensor.js';
import { expectClose, expectSameBits, networkOf, quantizedNetworks } from '../support/judged-networks.js';
import { describeReal, python } from '../support/real.js';

/**
 * Random networks of Keras layers (random_keras.py), converted by TensorFlow. A short run makes the first few of them; AIOT_LONG=1 makes
 * as many as the docs state.
 */
const counts = long
  ? { float32: 49, int8: 49, int16x8: 43, several: 12, recurrent: 30 }
  : { float32: 6, int8: 8, int16x8: 8, several: 3, recurrent: 4 };

type Kind = 'float32' | 'int8' | 'int16x8';

describeReal('tensorflow', 'random Keras networks in files of TensorFlow’s converter', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-random-keras-'));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const networksOf = async (count: number, kind: Kind, ...ends: ('several' | 'recurrent')[]) => {
    const made = mkdtempSync(join(folder, `${kind}-`));
    const script = join(root, 'test', 'support', 'python', 'random_keras.py');
    // Python takes minutes, during which this process must respond to the test runner.
    const args = [script, made, String(count), kind, ...ends];
    await promisify(execFile)(python('tensorflow'), args, { maxBuffer: 2 ** 26 });
    const networks = Array.from({ length: count }, (_, at) => {
      const network = networkOf(new Uint8Array(readFileSync(join(made, `${at}.tflite`))), at);
      if (typeof network !== 'string') return [network];
      const layers = readFileSync(join(made, `${at}.txt`), 'utf8');
      process.stderr.write(`${kind} network ${at} (${layers}): ${network}\n`);
      return [];
    }).flat();
    process.stderr.write(`${networks.length} of ${count} ${kind} networks are accepted\n`);
    return networks;
  };

  describeReal('tflm', 'compared with TFLite Micro', () => {
    it('at least 45 of 49 float32 networks are accepted, and all of them match its results', async () => {
      const networks = await networksOf(counts.float32, 'float32');
      expect(networks.length).toBeGreaterThanOrEqual(Math.floor((counts.float32 * 45) / 49));
      expectClose(networks);
    }, 900_000);

    it.each(['int8', 'float32'] as const)(
      'all %s networks with several inputs or outputs are accepted, and match',
      async (kind) => {
        const networks = await networksOf(counts.several, kind, 'several');
        expect(networks).toHaveLength(counts.several);
        expect(networks.filter(({ graph }) => graph.inputs.length > 1).length).toBeGreaterThan(0);
        expect(networks.filter(({ graph }) => graph.outputs.length > 1).length).toBeGreaterThan(0);
        if (kind === 'float32') expectClose(networks);
        else expectSameBits(networks);
      },
      600_000,
    );

    describeReal('litert', 'and with LiteRT', () => {
      it('at least 45 of 49 int8 networks are accepted, and all of them match bit for bit', async () => {
        const networks = await networksOf(counts.int8, 'int8');
        expect(networks.length).toBeGreaterThanOrEqual(Math.floor((counts.int8 * 45) / 49));
        const whole = expectSameBits(networks);
        process.stderr.write(`${whole} of ${networks.length} run in TFLite Micro completely\n`);
      }, 900_000);

      it('rolled recurrent layers are unrolled, match the results of the loops, and can be quantized', async () => {
        const networks = await networksOf(counts.recurrent, 'float32', 'recurrent');
        expect(networks).toHaveLength(counts.recurrent);
        for (const { notes, graph } of networks) {
          expect(notes.join()).toMatch(/\d+ steps of loops are unrolled/);
          expect(graph.operators.some(({ op }) => op === 'GATHER')).toBe(true);
        }
        // TFLite Micro's own loops yield other results for some of these files, so LiteRT runs the files.
        expectClose(networks, 'litert');
        expectClose(networks);
        expect(expectSameBits(quantizedNetworks(networks))).toBe(networks.length);
      }, 600_000);

      it('at least 40 of 43 int16x8 networks are accepted, and all of them match bit for bit', async () => {
        const networks = await networksOf(counts.int16x8, 'int16x8');
        expect(networks.length).toBeGreaterThanOrEqual(Math.floor((counts.int16x8 * 40) / 43));
        const whole = expectSameBits(networks);
        process.stderr.write(`${whole} of ${networks.length} run in TFLite Micro completely\n`);
      }, 900_000);
    });
  });
});
