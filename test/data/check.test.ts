import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gaussian, parseProject, seededRandom } from '../../src/lib/core/index.js';
import {
  checkDataset,
  copiesIn,
  type Dataset,
  openDataset,
  type Recording,
  splitDataset,
} from '../../src/lib/data/index.js';
import { signalSpecOf } from '../../src/lib/signal/index.js';
import { root } from '../support/cli.js';
import { describeReal, sharedFolder } from '../support/real.js';
import { dataset, noise, recording, several, yaml } from './support.js';

const config = parseProject(yaml, 'aiot.yaml');
const spec = signalSpecOf(config);
const clean = several(['sitting', 'walking'], 4);
const check = (recordings: Recording[], change: Partial<typeof spec> = {}) =>
  checkDataset(dataset(recordings), { ...spec, ...change }, undefined, { ranges: { x: [-8, 8] } });
const change = (id: string, edit: (columns: Float64Array[]) => void) => {
  const columns = recording(id).columns.map((column) => column.slice());
  edit(columns);
  return [...clean.filter((r) => r.id !== id), recording(id, { columns })];
};
const clipped = (r: Recording) => ({
  ...r,
  columns: [r.columns[0]!, r.columns[1]!.map((v) => Math.min(0.5, v))],
});
/** Each row twice, as a recorder makes it that asks twice as often as the sensor measures. */
const held = (r: Recording) => ({ ...r, columns: r.columns.map((c) => c.map((_, i) => c[i - (i % 2)]!)) });

describe('checking a dataset', () => {
  it('finds nothing in clean data', () => {
    expect(check(clean)).toEqual([]);
  });

  it.each([
    ['not-a-number', 'error', change('walking2', ([x]) => x!.fill(Number.NaN, 5, 6)), 'sample 6 of x is NaN'],
    [
      'range',
      'warning',
      change('walking2', ([x]) => x!.fill(9, 5, 8)),
      '3 samples of x (0.3 %) lie outside -8…8, the farthest at 9',
    ],
    ['saturation', 'warning', clean.map(clipped), 'y stops at 0.5, its highest value'],
    [
      'label',
      'warning',
      [...clean, recording('extra', { label: null })],
      '1 recording without a label: extra',
    ],
    [
      'short',
      'warning',
      [...clean, recording('walking9', { columns: [noise(1, 40), noise(2, 40)] })],
      'shorter than one window (1 s): walking9',
    ],
    ['gap', 'warning', [...clean, recording('walking9', { missing: 4 })], 'walking9: 4 messages missing'],
    [
      'gap',
      'warning',
      change('walking2', (columns) => {
        for (const column of columns) column.fill(0.1, 300, 340);
      }),
      '40 equal rows (0.80 s) from row 301 on',
    ],
    [
      'leak',
      'warning',
      [...clean, recording('walking9', { columns: recording('walking1').columns })],
      'walking1 and walking9 are copies (100.0 %',
    ],
  ] as const)('finds %s (%s)', (kind, severity, recordings, message) => {
    const found = check([...recordings]).filter((finding) => finding.kind === kind);
    expect(found).toEqual([expect.objectContaining({ severity, message: expect.stringContaining(message) })]);
  });

  it('calls copies on two sides of a split an error', () => {
    const data = dataset([...clean, recording('walking9', { columns: recording('walking1').columns })]);
    const split = {
      by: 'recording' as const,
      seed: 1,
      train: ['walking1'],
      validation: [],
      test: ['walking9'],
    };
    expect(checkDataset(data, spec, split)[0]).toMatchObject({
      kind: 'leak',
      severity: 'error',
      message: expect.stringContaining('one in train and one in test'),
    });
  });

  it('tells repeats from an artefact, and whether the pipeline takes them away', () => {
    const all = clean.map(held);
    expect(check(all).map((f) => [f.kind, f.severity])).toEqual([['repeats', 'warning']]);
    const half = clean.map((r) => (r.label === 'walking' ? held(r) : r));
    expect(check(half, { lowpassHz: 5 }).map((f) => [f.kind, f.severity])).toEqual([
      ['shortcut', 'warning'],
      ['repeats', 'info'],
      ['rate', 'info'],
    ]);
    const [artefact] = check(half, { lowpassHz: null, resampleHz: 50 });
    expect(artefact).toMatchObject({
      kind: 'shortcut',
      severity: 'error',
      message: expect.stringContaining(
        'walking have them (50.1 % of the rows), sitting do not (0.0 %); 8 of 8 recordings',
      ),
      advice: expect.stringContaining('set signal.lowpass to 6 Hz or less'),
    });
  });

  it('does not take a coarse sensor that stands still for a recorder that repeats', () => {
    const coarse = (r: Recording) => ({
      ...r,
      columns: r.columns.map((c) => c.map((v) => Math.round(v / 50))),
    });
    const found = check(clean.map((r) => (r.label === 'sitting' ? coarse(r) : r)));
    expect(found.filter((f) => f.kind === 'shortcut' || f.kind === 'gap')).toEqual([]);
  });
});

const template = parseProject(
  readFileSync(join(root, 'templates', 'har-imu', 'aiot.yaml'), 'utf8'),
  'aiot.yaml',
);

function told(data: Dataset): string[] {
  const split = splitDataset(data, template.model);
  return checkDataset(data, signalSpecOf(template), split).map(
    (f) => `${f.severity} ${f.kind} ${f.files.length}`,
  );
}

describeReal('shared', 'the HAR recordings', () => {
  const project = { dir: root, file: 'aiot.yaml', config: template };
  const open = () => openDataset(project, join(sharedFolder, 'data', 'har', 'recordings'));

  it('open in about a second, and show the artefact in 15 of 53 recordings, and no copies', async () => {
    const started = performance.now();
    const data = await open();
    // Alone it is below a second; the suite shares its cores.
    expect(performance.now() - started).toBeLessThan(6000);
    expect(data.recordings.reduce((sum, r) => sum + r.columns[0]!.length, 0)).toBe(521_639);
    expect(told(data)).toEqual([
      'warning shortcut 15',
      'warning shortcut 15',
      'info repeats 15',
      'info rate 15',
      'info shortcut 15',
    ]);
    expect(copiesIn(data)).toEqual([]);
  });

  it('show a copy that was cut, shifted and rounded', async () => {
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
    'show a stretch of %s that was put into another recording',
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

  it('are what the sample of the template was cut from', async () => {
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
