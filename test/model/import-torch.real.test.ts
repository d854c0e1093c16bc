import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readSource } from '../../src/lib/model/import/open.js';
import { root } from '../support/cli.js';
import { decibelsOf, difference, leastDecibels, quantizedBy } from '../support/onnx-answers.js';
import { describeReal, python } from '../support/real.js';

const folder = mkdtempSync(join(tmpdir(), 'aiot-torch-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Exports {
  version: string;
  /** Each network once for each exporter. */
  names: string[];
  /** Exports that PyTorch refuses, with its reason. */
  failed: Record<string, string>;
}

/** A file that is rejected. PyTorch exports an LSTM with proj_size without its projection, so that ONNX Runtime rejects that file, too. */
const rejected: Readonly<Record<string, string>> = {
  'lstm-projected-dynamo': 'expected an initial state of shape [1, 1, 4], got [1, 1, 8]',
};

describeReal('torch', 'importing networks that PyTorch exports', () => {
  let exports: Exports = { version: '', names: [], failed: {} };
  beforeAll(async () => {
    const script = join(root, 'test/support/python/torch_models.py');
    await promisify(execFile)(python('torch'), [script, folder], { maxBuffer: 2 ** 26 });
    exports = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as Exports;
  }, 900_000);

  it('matches PyTorch to 1e-5 with both exporters, even when run by LiteRT', {
    timeout: 600_000,
  }, async () => {
    expect(Object.keys(exports.failed)).toEqual(['lstm-projected-script']);
    const off: [string, number][] = [];
    for (const name of exports.names) {
      if (name in rejected) continue;
      const litert = !name.startsWith('words');
      off.push([name, await difference(folder, name, { litert })]);
    }
    process.stderr.write(`PyTorch ${exports.version}: ${off.length} files\n`);
    expect(off.filter(([, worst]) => !(worst <= 1e-5))).toEqual([]);
    expect(off.length).toBe(72);
    for (const [name, message] of Object.entries(rejected))
      await expect(readSource(join(folder, `${name}.onnx`)), name).rejects.toMatchObject({
        code: expect.stringMatching(/^AIOT_(FILE_MALFORMED|LAYER_UNSUPPORTED)$/),
        message: expect.stringContaining(message),
      });
  });

  it('stays close to PyTorch in int8', { timeout: 600_000 }, async () => {
    const decibels: [string, number][] = [];
    for (const name of exports.names) {
      if (name in rejected) continue;
      decibels.push([name, decibelsOf(await quantizedBy(folder, folder, name), name)]);
    }
    const sorted = decibels.map(([, value]) => value).sort((a, b) => a - b);
    process.stderr.write(`int8: ${sorted[0]!.toFixed(1)} to ${sorted.at(-1)!.toFixed(1)} dB\n`);
    // The scores of this attention share their range with the mask, so it has a little more noise.
    const least = (name: string) => (name === 'attention-causal-script' ? 29 : leastDecibels);
    expect(decibels.filter(([name, value]) => !(value >= least(name)))).toEqual([]);
  });
});
