import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseCsv } from '../../src/lib/formats/csv/parse.js';
import { featureRows } from '../../src/lib/signal/pipeline.js';
import type { SignalSpec } from '../../src/lib/signal/spec.js';
import { describeReal, recordingsFolder } from '../support/real.js';

const spec: SignalSpec = {
  fields: ['x', 'y', 'z'],
  rateHz: 100,
  lowpassHz: null,
  resampleHz: 100,
  windowSamples: 501,
  strideSamples: 500,
  features: 'har',
};

/** An empty cell is NaN; the columns after the 115 features are labels. */
function goldenOf(file: string): { names: string[]; rows: number[][] } {
  const [head = '', ...lines] = readFileSync(file, 'utf8').trim().split('\n');
  const rows = lines.map((line) =>
    line
      .split(',')
      .slice(0, 115)
      .map((cell) => (cell === '' ? Number.NaN : Number(cell))),
  );
  return { names: head.split(',').slice(0, 115), rows };
}

describeReal('recordings', 'the 115 features, compared with the original implementation', () => {
  const har = recordingsFolder;
  const files = () => readdirSync(join(har, 'recordings')).sort();

  it('match within 1e-9 for every window of every recording, including short windows', () => {
    let compared = 0;
    let empty = 0;
    let worst = { difference: 0, where: '' };
    for (const file of files()) {
      const golden = goldenOf(join(har, 'features', file));
      const { data } = parseCsv(readFileSync(join(har, 'recordings', file)), file, ['x', 'y', 'z']);
      const cut = data.map((column) => column.subarray(100, column.length - 100));
      const { names, rows } = featureRows(spec, cut, true);
      expect(names).toEqual(golden.names);
      expect(rows.length, file).toBe(golden.rows.length);
      rows.forEach((row, r) => {
        row.forEach((value, i) => {
          const expected = golden.rows[r]![i]!;
          compared++;
          if (Number.isNaN(expected)) {
            empty++;
            expect(value, `${file} row ${r} ${names[i]}`).toBeNaN();
            return;
          }
          const difference = Math.abs(value - expected) / Math.max(1e-6, Math.abs(expected));
          if (!(difference <= worst.difference))
            worst = { difference, where: `${file} row ${r} ${names[i]}` };
        });
      });
    }
    expect(worst.difference, worst.where).toBeLessThan(1e-9);
    expect([compared, empty]).toEqual([1039 * 115, 150]);
  });
});
