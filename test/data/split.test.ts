import { describe, expect, it } from 'vitest';
import { parseProject } from '../../src/lib/core/project.js';
import { checkSplit, leakError } from '../../src/lib/data/check/copies.js';
import { copiesIn } from '../../src/lib/data/copies/copies.js';
import { windowParts } from '../../src/lib/data/parts.js';
import { splitDataset } from '../../src/lib/data/split.js';
import { fc, runs } from '../support/property.js';
import { dataset, recording, several, yaml } from './support.js';

const { model } = parseProject(yaml, 'aiot.yaml');
const withSplit = (split: typeof model.split, seed = 7) => ({
  ...model,
  split,
  train: { ...model.train, seed },
});
const labels = ['sitting', 'lying', 'walking'];

describe('the split', () => {
  it('puts each labeled recording in one part and each label in all parts, reproducibly by seed', () => {
    const data = dataset([...several(labels, 7), recording('extra', { label: null })]);
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const split = splitDataset(data, withSplit('recording', seed));
        const all = [...split.train, ...split.validation, ...split.test];
        expect([...all].sort()).toEqual(data.recordings.map(({ id }) => id).filter((id) => id !== 'extra'));
        for (const side of [split.train, split.validation, split.test]) {
          expect(new Set(side.map((id) => id.replace(/\d+/, '')))).toEqual(new Set(labels));
        }
        expect(splitDataset(data, withSplit('recording', seed))).toEqual(split);
      }),
      { numRuns: runs(50) },
    );
  });

  it('divides the recordings into about 60, 15, and 25 percent', () => {
    const split = splitDataset(dataset(several(['sitting', 'walking'], 20)), model);
    expect([split.train, split.validation, split.test].map((side) => side.length)).toEqual([24, 6, 10]);
  });

  it('keeps copies together, whether shifted, rounded, or linked by a third copy', () => {
    const originals = several(['sitting', 'walking'], 5);
    const [first] = originals;
    const cut = first!.columns.map((column) => column.slice(137, 937));
    const rounded = first!.columns.map((column) => column.map((value) => Math.round(value * 500) / 500));
    const data = dataset([
      ...originals,
      recording('sitting91', { columns: cut }),
      recording('sitting92', { columns: rounded }),
    ]);
    const pairs = copiesIn(data);
    expect(pairs.map(({ a, b }) => `${a} ${b}`).sort()).toEqual([
      'sitting1 sitting91',
      'sitting1 sitting92',
      'sitting91 sitting92',
    ]);
    for (let seed = 0; seed < 30; seed++) {
      const split = splitDataset(data, withSplit('recording', seed));
      const sides = [split.train, split.validation, split.test].filter((side) =>
        side.some((id) => ['sitting1', 'sitting91', 'sitting92'].includes(id)),
      );
      expect(sides.length).toBe(1);
    }
  });

  it('puts each device in only one part when splitting by device', () => {
    const recordings = several(labels, 8).map((r) => ({
      ...r,
      device: `d${Number(r.id.replace(/\D+/, '')) % 5}`,
    }));
    const split = splitDataset(dataset(recordings), withSplit('device'));
    const devices = [split.train, split.validation, split.test].map(
      (side) => new Set(side.map((id) => recordings.find((r) => r.id === id)!.device)),
    );
    const count = devices.reduce((sum, set) => sum + set.size, 0);
    expect(count).toBe(5);
  });

  it('keeps the newest recordings for the test set when splitting by time', () => {
    const recordings = several(['sitting', 'walking'], 8).map((r) => ({
      ...r,
      startedAt: Number(r.id.replace(/\D+/, '')),
    }));
    const { test, train } = splitDataset(dataset(recordings), withSplit('time'));
    expect(test).toEqual(['sitting7', 'sitting8', 'walking7', 'walking8']);
    expect(train).toContain('sitting1');
  });

  it.each([
    ['a single class', several(['sitting', 'lying'], 4), 'recording', 'AIOT_DATA_ONE_CLASS'],
    ['unlabeled recordings', [recording('a1', { label: null })], 'recording', 'AIOT_DATA_ONE_CLASS'],
    ['an unknown label', [...several(labels, 3), recording('running1')], 'recording', 'AIOT_LABEL_UNKNOWN'],
    [
      'two recordings of a class',
      [...several(['sitting'], 4), ...several(['walking'], 2)],
      'recording',
      'AIOT_DATA_TOO_FEW',
    ],
    ['recordings without a device', several(labels, 3), 'device', 'AIOT_DATA_NO_DEVICE'],
    [
      'two devices',
      several(labels, 4).map((r, i) => ({ ...r, device: `d${i % 2}` })),
      'device',
      'AIOT_DATA_TOO_FEW',
    ],
    ['recordings without a time', several(labels, 3), 'time', 'AIOT_DATA_NO_TIME'],
  ] as const)('rejects %s', (_, recordings, by, code) => {
    expect(() => splitDataset(dataset([...recordings]), withSplit(by))).toThrow(
      expect.objectContaining({ code }),
    );
  });

  it('puts each window in one part when splitting by window, and reports the leak', () => {
    const data = dataset(several(['sitting', 'walking'], 3));
    const split = splitDataset(data, withSplit('window', 5));
    expect(split.train).toEqual(data.recordings.map(({ id }) => id));
    expect([split.validation, split.test]).toEqual([split.train, split.train]);
    const parts = windowParts(split, 'walking1', 40);
    const count = (part: string) => parts.filter((own) => own === part).length;
    expect([count('train'), count('validation'), count('test')]).toEqual([24, 6, 10]);
    expect(windowParts(split, 'walking1', 40)).toEqual(parts);
    expect(windowParts(split, 'walking2', 40)).not.toEqual(parts);
    expect(leakError(checkSplit(data, split))).toMatchObject({
      code: 'AIOT_DATA_LEAK',
      exit: 6,
      message: expect.stringContaining('by window'),
    });
  });

  it('has a leak if a recording or its copy is in two parts, but not if copies are kept together', () => {
    const copy = recording('walking9', { columns: recording('walking1').columns });
    const data = dataset([...several(['sitting', 'walking'], 3), copy]);
    const own = splitDataset(data, model);
    expect(checkSplit(data, own)).toEqual([]);
    expect(leakError(checkSplit(data, own))).toBeNull();
    const apart = { ...own, train: ['walking1', 'sitting1'], validation: [], test: ['walking9', 'sitting1'] };
    expect(checkSplit(data, apart).map(({ kind, files }) => [kind, files])).toEqual([
      ['leak', ['sitting1']],
      ['leak', ['walking1', 'walking9']],
    ]);
  });

  it('counts copies as one recording', () => {
    const walks = [1, 2, 3].map((i) => recording(`walking${i}`, { columns: recording('walking1').columns }));
    expect(() => splitDataset(dataset([...several(['sitting'], 3), ...walks]), model)).toThrow(
      expect.objectContaining({
        code: 'AIOT_DATA_TOO_FEW',
        message: expect.stringContaining('got 1; copies count as one'),
      }),
    );
  });
});
