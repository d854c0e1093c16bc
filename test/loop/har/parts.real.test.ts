import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseCsv } from '../../../src/lib/formats/csv/parse.js';
import { pythonFloat } from '../../../src/lib/loop/har/layout.js';
import { createWindows, decodeFrame, encodeFrame } from '../../../src/lib/loop/har/windows.js';
import { fc } from '../../support/property.js';
import { describeReal, recordingsFolder } from '../../support/real.js';

describeReal('python3', 'a float formatted for Python', () => {
  it('has the same digits as Python’s repr', () => {
    const values = [
      ...[
        0,
        -0,
        1,
        -1,
        0.1,
        1 / 3,
        1e-4,
        9.9e-5,
        1e-5,
        1e15,
        123456789012345680,
        1e16,
        1e17,
        1e22,
        1.5e300,
        5e-324,
      ],
      ...fc.sample(fc.double({ noNaN: true, noDefaultInfinity: true }), { numRuns: 500, seed: 7 }),
    ];
    const script =
      'import struct,sys\nfor line in sys.stdin: print(repr(struct.unpack(">d", bytes.fromhex(line.strip()))[0]))';
    const hex = values.map((value) => {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleBE(value);
      return bytes.toString('hex');
    });
    const said = execFileSync('python3', ['-c', script], {
      input: `${hex.join('\n')}\n`,
      encoding: 'utf8',
    });
    expect(values.map(pythonFloat)).toEqual(said.trim().split('\n'));
  });
});

describeReal('recordings', 'the features of the original recordings', () => {
  const har = recordingsFolder;
  it('match the original values to 1e-9 for the first window of 501 samples of each', () => {
    let worst = { difference: 0, where: '' };
    const files = readdirSync(join(har, 'recordings'));
    for (const file of files) {
      const { data } = parseCsv(readFileSync(join(har, 'recordings', file)), file, ['x', 'y', 'z']);
      const windows = createWindows(501);
      let row: Float64Array | null = null;
      for (let i = 100; row === null && i < data[0]!.length; i++) {
        row = windows.push([data[0]![i]!, data[1]![i]!, data[2]![i]!], 10 * i);
      }
      const table = decodeFrame(encodeFrame(windows.names, row!))!;
      const [head = '', first = ''] = readFileSync(join(har, 'features', file), 'utf8').split('\n');
      const cells = first.split(',');
      head
        .split(',')
        .slice(0, 115)
        .forEach((name, i) => {
          const expected = Number(cells[i]);
          const difference = Math.abs(table.get(name)! - expected) / Math.max(1e-6, Math.abs(expected));
          if (!(difference <= worst.difference)) worst = { difference, where: `${file} ${name}` };
        });
    }
    expect(files.length).toBe(53);
    expect(worst.difference, worst.where).toBeLessThan(1e-9);
  });
});
