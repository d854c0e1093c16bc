import { describe, expect, it } from 'vitest';
import { parseProject } from '../../src/lib/core/project.js';
import { checkDataset } from '../../src/lib/data/check/check.js';
import { checkJoints } from '../../src/lib/data/check/neighbours.js';
import type { Recording } from '../../src/lib/data/types.js';
import { signalSpecOf } from '../../src/lib/signal/spec.js';
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
/** Repeats each row, like a recorder that polls twice as often as the sensor measures. */
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
      '3 samples of x (0.3 %) are outside -8…8, the farthest at 9',
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
      '40 identical rows (0.80 s) from row 301 on',
    ],
    [
      'leak',
      'warning',
      [...clean, recording('walking9', { columns: recording('walking1').columns })],
      'walking1 and walking9 are copies (100.0 %',
    ],
  ] as const)('finds %s (%s, case %#)', (kind, severity, recordings, message) => {
    const found = check([...recordings]).filter((finding) => finding.kind === kind);
    expect(found).toEqual([expect.objectContaining({ severity, message: expect.stringContaining(message) })]);
  });

  it('reports copies in different splits as an error', () => {
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

  it('distinguishes repeats from an artifact, and reports whether the pipeline removes them', () => {
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
        '50.1 % of the rows of walking repeat the row before, but 0.0 % of sitting. A model could learn this difference instead of the signal. (This alone distinguishes the two groups of labels in 8 of 8 recordings',
      ),
      advice: expect.stringContaining('set signal.lowpass to 6 Hz or less'),
    });
  });

  it('does not mistake a coarse sensor at rest for repeated rows', () => {
    const coarse = (r: Recording) => ({
      ...r,
      columns: r.columns.map((c) => c.map((v) => Math.round(v / 50))),
    });
    const found = check(clean.map((r) => (r.label === 'sitting' ? coarse(r) : r)));
    expect(found.filter((f) => f.kind === 'shortcut' || f.kind === 'gap')).toEqual([]);
  });
});

describe('takes on both sides of a split, with start times', () => {
  const take = noise(5, 2000);
  const part = (id: string, seconds: number, from: Float64Array) =>
    recording(id, { startedAt: 1_700_000_000_000 + 1000 * seconds, device: 'd1', columns: [from, from] });
  const joints = (recordings: Recording[]) => {
    const [train, ...test] = recordings.map(({ id }) => id);
    const split = { by: 'recording' as const, seed: 1, train: [train!], validation: [], test };
    return checkJoints(dataset(recordings), split, false).filter(
      ({ evidence }) => evidence.method === 'start times',
    );
  };
  const first = part('walking1', 0, take.slice(0, 1000));

  it('are found if one continues the other, with or without a pause', () => {
    expect(joints([first, part('walking2', 20, take.slice(1000))])).toHaveLength(1);
    expect(joints([first, part('walking2', 21.5, noise(9))])).toHaveLength(1);
  });

  it.each([
    ['they were sent one after another, but the signal does not continue', 20],
    ['their times overlap, as those of replays do', 12],
    ['there is a longer pause', 30],
  ])('are not found if %s', (_, seconds) => {
    const other = noise(9).map((value) => value + 8);
    expect(joints([first, part('walking2', seconds, other)])).toEqual([]);
  });
});

describe('takes on both sides of a split, without start times', () => {
  /** A slow wave with its own period, whose end predicts what follows. */
  const wave = (seed: number, length: number) => {
    const shakes = noise(seed, length);
    return shakes.map((shake, i) => 20 * Math.sin(seed + i / (5 + seed / 3)) + shake / 100);
  };

  it('are found if the signal continues, with a probability of at most 1 of 1000', () => {
    const whole = wave(3, 2000);
    const part = (id: string, from: Float64Array) => recording(id, { columns: [from, from] });
    const others = [4, 5, 6, 7, 8, 9].map((seed) => part(`walking${seed}`, wave(seed, 1000)));
    const recordings = [
      part('walking1', whole.slice(0, 1000)),
      part('walking2', whole.slice(1000)),
      ...others,
    ];
    const train = recordings.map(({ id }) => id).filter((id) => id !== 'walking2');
    const split = { by: 'recording' as const, seed: 1, train, validation: [], test: ['walking2'] };
    const [found, ...more] = checkJoints(dataset(recordings), split, false);
    expect(more).toEqual([]);
    expect(found!.evidence.chance).toBeLessThan(1e-5);
    expect(found!.message).toMatch(
      /^walking2 seems to continue walking1, on the other side .* in fewer than 1 in 1000 sets\.$/,
    );
  });
});

describe('spikes', () => {
  const withSpikes = (height: number) =>
    change('walking2', ([x]) => {
      for (const row of [200, 500, 800]) x![row] = x![row]! + height;
    }).map((one) => ({ ...one, columns: [one.columns[0]!, one.columns[1]!.map((y) => 100 * y)] }));

  it('are reported with their rows', () => {
    const [found] = check(withSpikes(30)).filter(({ kind }) => kind === 'spikes');
    expect(found).toMatchObject({ files: ['walking2'], evidence: { field: 'x', rows: [201, 501, 801] } });
  });

  it('are ignored if they are small compared with the range of the field', () => {
    const still = clean.map((one) =>
      one.label === 'sitting' ? { ...one, columns: one.columns.map((c) => c.map((v) => v / 1000)) } : one,
    );
    const spiked = still.map((one) =>
      one.id === 'sitting2'
        ? {
            ...one,
            columns: [one.columns[0]!.map((v, i) => (i % 300 === 100 ? v + 0.05 : v)), one.columns[1]!],
          }
        : one,
    );
    expect(check(spiked).filter(({ kind }) => kind === 'spikes')).toEqual([]);
  });
});
