import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { parseProject } from '../../src/lib/core/project.js';
import { checkDataset } from '../../src/lib/data/check/check.js';
import { copiesIn } from '../../src/lib/data/copies/copies.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { splitDataset } from '../../src/lib/data/split.js';
import type { Dataset, Recording } from '../../src/lib/data/types.js';
import { signalSpecOf } from '../../src/lib/signal/spec.js';
import { root } from '../support/cli.js';
import { describeReal, recordingsFolder } from '../support/real.js';

const template = parseProject(
  readFileSync(join(root, 'templates', 'har-imu', 'aiot.yaml'), 'utf8'),
  'aiot.yaml',
);

const found = (data: Dataset) =>
  checkDataset(data, signalSpecOf(template), splitDataset(data, template.model));

function told(data: Dataset): string[] {
  return found(data).map((f) => `${f.severity} ${f.kind} ${f.files.length}`);
}

describeReal('recordings', 'the HAR recordings', () => {
  const project = { dir: root, file: 'aiot.yaml', config: template };
  const open = () => openDataset(project, join(recordingsFolder, 'recordings'));

  it('load within seconds, and show the artifact in 15 of 53 recordings and no copies', async () => {
    const began = process.cpuUsage();
    const data = await open();
    // Not the time that passes, because all tests share the cores.
    expect(process.cpuUsage(began).user / 1000).toBeLessThan(6000);
    expect(data.recordings.reduce((sum, r) => sum + r.columns[0]!.length, 0)).toBe(521_639);
    // In the first recordings on stairs, the phone was carried in another position. In sitting4, somebody bumped it twice.
    expect(told(data)).toEqual([
      'warning swapped 1',
      'warning swapped 1',
      'warning swapped 1',
      'warning spikes 1',
      'warning shortcut 15',
      'warning shortcut 15',
      'info repeats 15',
      'info rate 15',
      'info shortcut 15',
    ]);
    expect(copiesIn(data)).toEqual([]);
    const named = found(data).filter(({ kind }) => kind === 'swapped' || kind === 'spikes');
    expect(named.map(({ files, evidence }) => [files[0], evidence.way ?? evidence.rows])).toEqual([
      ['downstairs1', 'y = −y'],
      ['upstairs1', 'y = −z, z = y'],
      ['upstairs2', 'y = −z, z = y'],
      ['sitting4', [1242, 18445]],
    ]);
  });

  it('reveal a copy that was cut, shifted, and rounded', async () => {
    const data = await open();
    const original = data.recordings.find(({ id }) => id === 'upstairs4')!;
    const columns = original.columns.map((c) => c.slice(437, 3437).map((v) => Math.round(v * 1000) / 1000));
    const copied = { ...data, recordings: [...data.recordings, { ...original, id: 'upstairs20', columns }] };
    expect(copiesIn(copied).map(({ a, b, kind }) => [a, b, kind])).toEqual([
      ['upstairs4', 'upstairs20', 'near'],
    ]);
  });

  it.each([
    ['walking2', 5013, 1000, 'walking4', 0.3, 1.7],
    ['upstairs3', 1111, 600, 'upstairs9', 0.1, 1],
    ['sitting3', 3000, 2000, 'sitting1', 0, 1.2],
  ])(
    'reveal a stretch of %s that was pasted into another recording',
    async (from, first, rows, into, noise, gain) => {
      const data = await open();
      const random = seededRandom(3);
      const source = data.recordings.find(({ id }) => id === from)!;
      const changed = (r: Recording): Recording => ({
        ...r,
        columns: r.columns.map((column, f) => {
          const piece = source.columns[f]!.subarray(first, first + rows);
          const mean = piece.reduce((sum, v) => sum + v, 0) / rows;
          const size = Math.sqrt(piece.reduce((sum, v) => sum + (v - mean) ** 2, 0) / rows);
          const copy = column.slice();
          piece.forEach((v, i) => {
            copy[1500 + i] = mean + gain * (v - mean) + noise * size * gaussian(random) + 0.1;
          });
          return copy;
        }),
      });
      const recordings = data.recordings.filter(({ id }) => /^(walking|upstairs|sitting)[1-9]$/.test(id));
      const planted = recordings.map((r) => (r.id === into ? changed(r) : r));
      const pairs = copiesIn({ ...data, recordings: planted });
      expect(pairs.map(({ a, b }) => [a, b].sort())).toEqual([[from, into].sort()]);
    },
  );

  it('contain the source of the template’s sample', async () => {
    const data = await open();
    const sample = await openDataset(project, join(root, 'templates', 'har-imu', 'data'));
    const source = readFileSync(join(root, 'templates/har-imu/data/SOURCE.md'), 'utf8');
    const cuts = [...source.matchAll(/^\| (\w+\d+) \| (\d+) \| (\d+) \|/gm)];
    expect(cuts.map(([, id]) => id).sort()).toEqual(sample.recordings.map(({ id }) => id));
    for (const [, id, first, rows] of cuts) {
      const original = data.recordings.find((r) => r.id === id)!;
      const cut = sample.recordings.find((r) => r.id === id)!;
      cut.columns.forEach((column, f) => {
        const expected = original.columns[f]!.slice(Number(first), Number(first) + Number(rows));
        expect(column.length).toBe(expected.length);
        expect(Math.max(...column.map((v, i) => Math.abs(v - expected[i]!)))).toBeLessThan(0.500001e-4);
      });
    }
    expect(told(sample)).toEqual([
      'warning shortcut 15',
      'info repeats 15',
      'info rate 15',
      'info shortcut 5',
    ]);
  });
});
