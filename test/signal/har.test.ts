import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseCsv } from '../../src/lib/formats/index.js';
import { featureSetOf } from '../../src/lib/signal/features/select.js';
import type { SignalSpec } from '../../src/lib/signal/index.js';
import { describeReal, sharedFolder } from '../support/real.js';

const spec: SignalSpec = {
  fields: ['x', 'y', 'z'],
  rateHz: 100,
  lowpassHz: null,
  resampleHz: 100,
  windowSamples: 501,
  strideSamples: 500,
  features: 'har',
};

const keys = ['acc_x_mean', 'acc_y_mean', 'acc_z_mean', 'acc_x_wf'];

/** Header, and rows by some of their values: the original drops some windows, so rows are found, not counted. */
function goldenOf(file: string): { names: string[]; rows: Map<string, number[]> } {
  const [head = '', ...lines] = readFileSync(file, 'utf8').trim().split('\n');
  const names = head.split(',');
  const rows = lines.map((line) => line.split(',').map(Number));
  return { names, rows: new Map(rows.map((row) => [keyOf(names, row), row])) };
}

function keyOf(names: string[], row: ArrayLike<number>): string {
  return keys.map((name) => row[names.indexOf(name)]!.toPrecision(10)).join(' ');
}

describeReal('shared', 'the 115 features of the original', () => {
  const har = join(sharedFolder, 'data', 'har');
  const files = () => readdirSync(join(har, 'recordings')).sort();

  it('come out as the original computed them, to 1e-9, in every recording', () => {
    const set = featureSetOf(spec);
    const out = new Float64Array(set.names.length);
    let compared = 0;
    let worst = { difference: 0, where: '' };
    for (const file of files()) {
      const { names, rows } = goldenOf(join(har, 'features', file));
      expect(names.slice(0, 115)).toEqual(set.names);
      const { data } = parseCsv(readFileSync(join(har, 'recordings', file)), file, ['x', 'y', 'z']);
      for (let start = 100; start + 501 <= data[0]!.length - 100; start += 500) {
        set.compute(
          data.map((column) => column.subarray(start, start + 501)),
          out,
        );
        const row = rows.get(keyOf(names, out));
        if (!row) continue;
        compared++;
        for (let i = 0; i < set.names.length; i++) {
          const difference = Math.abs(out[i]! - row[i]!) / Math.max(1e-6, Math.abs(row[i]!));
          if (difference > worst.difference) worst = { difference, where: `${file}@${start} ${names[i]}` };
        }
      }
    }
    expect(worst.difference, worst.where).toBeLessThan(1e-9);
    expect(compared).toBeGreaterThan(850);
  });
});
