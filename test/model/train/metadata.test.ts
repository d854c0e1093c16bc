import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readMetadata, writeMetadata } from '../../../src/lib/formats/tflite/metadata.js';
import { rowsTaken } from '../../../src/lib/model/evaluate/rows.js';
import { metadataOf, standardizationIn } from '../../../src/lib/model/file-metadata.js';
import { runCli } from '../../support/cli.js';
import { rowsCsv, rowsFolder } from './support.js';

const network = {
  kind: 'mlp' as const,
  inputShape: [4],
  layers: [],
  output: { kind: 'probability' as const },
};

describe('model metadata', () => {
  it('describes input standardization, once per field if fields alternate', () => {
    const standardization = { mean: [1, 2, 1, 2], deviation: [3, 4, 3, 4] };
    const bytes = metadataOf({ model: 'm', classes: ['a', 'b'], standardization, network });
    expect(readMetadata(bytes)).toMatchObject({
      name: 'm',
      normalization: { mean: [1, 2], std: [3, 4] },
      output: 'probability: a, b',
    });
    expect(standardizationIn(bytes, 4)).toEqual(standardization);
    expect([...rowsTaken(Float32Array.of(4, 6, 1, 2, 1, 2, 7, 10), 4, bytes).inputs]).toEqual([
      1, 1, 0, 0, 0, 0, 2, 2,
    ]);
  });

  it.each([
    ['no metadata', null],
    [
      'metadata from another tool',
      writeMetadata({
        name: 'x',
        description: 'An image model',
        normalization: { mean: [127.5], std: [127.5] },
      }),
    ],
    ['invalid metadata', Uint8Array.of(1, 2, 3)],
    [
      'an identity standardization',
      metadataOf({ model: 'm', classes: [], standardization: { mean: [0, 0], deviation: [1, 1] }, network }),
    ],
    [
      'metadata for other inputs',
      metadataOf({
        model: 'm',
        classes: [],
        standardization: { mean: [1, 2, 3], deviation: [1, 1, 2] },
        network,
      }),
    ],
  ])('leaves rows unchanged with %s', (_name, metadata) => {
    const rows = Float32Array.of(1, 2, 3, 4);
    const taken = rowsTaken(rows, 4, metadata);
    expect(taken.inputs).toBe(rows);
    expect(taken).toMatchObject({ standardized: false, warnings: [] });
  });

  it.each([
    ['as measured', 50, 10, 0],
    ['standardized before', 0, 1, 1],
  ])('warns only if rows appear to be standardized already: %s', (_name, mean, deviation, warnings) => {
    const standardization = { mean: [50], deviation: [10] };
    const metadata = metadataOf({ model: 'm', classes: [], standardization, network });
    const rows = Float32Array.from({ length: 40 }, (_, i) => mean + (i % 2 === 0 ? deviation : -deviation));
    const taken = rowsTaken(rows, 1, metadata);
    expect(taken.standardized).toBe(true);
    expect(taken.warnings).toHaveLength(warnings);
  });

  it('allows models trained on rows to be quantized and evaluated on raw rows', async () => {
    const { dir, file } = await rowsFolder(rowsCsv({ rows: 400 }));
    await runCli(['model', 'train', '-p', dir, '--data', file, '--epochs', '20', '--json', '-q']);
    const fresh = join(dir, 'fresh.csv');
    await writeFile(fresh, rowsCsv({ rows: 300, seed: 8 }));
    const out = join(dir, 'out.tflite');
    const float = join(dir, 'build/model.float.tflite');
    const [lost, page] = [join(dir, 'lost.html'), join(dir, 'page.html')];
    await runCli([
      'model',
      'quantize',
      float,
      '--data',
      file,
      '--out',
      out,
      '--report',
      lost,
      '--json',
      '-q',
    ]);
    expect(await readFile(lost, 'utf8')).toContain('<h2>Quantization error per tensor</h2>');
    await runCli(['model', 'quantize', '-p', dir, '--data', file, '--json', '-q']);
    for (const network of [float, out, join(dir, 'build/model.int8.tflite')]) {
      const { json } = await runCli([
        ...['model', 'evaluate', network, '--data', fresh],
        '--report',
        page,
        '--json',
        '-q',
      ]);
      const { accuracy } = json as { accuracy: number };
      expect(accuracy).toBeGreaterThan(0.95);
      expect(await readFile(page, 'utf8')).toContain(`<b>${(accuracy * 100).toFixed(1)} %</b><span>accuracy`);
    }
  });
});
