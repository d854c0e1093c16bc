import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import DataFeatures from '../../src/commands/data/features.js';
import { openTable } from '../../src/lib/data/tables/table.js';
import { writeWav } from '../../src/lib/formats/wav.js';
import { runCli } from '../support/cli.js';

let dir: string;
const file = (name: string) => join(dir, name);
const recordings = () => file('recordings');
/**
 * A person who walks at a pace that depends on `k`, or who lies down, with gravity along another axis and little
 * movement.
 */
const wave = (i: number, k: number, walking: boolean) =>
  walking
    ? [Math.sin(i / (6 + k)), 0.2 * Math.cos(i / 3), 1 + 0.3 * Math.sin((2 * i) / (6 + k))]
    : [1, 0.01 * Math.sin(i * k), 0.02 * Math.cos(i / 9)];
const csv = (k: number, walking: boolean, rows = 1700) =>
  `x,y,z\n${Array.from({ length: rows }, (_, i) => wave(i, k, walking).join(',')).join('\n')}\n`;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-features-'));
  await mkdir(recordings());
  for (const k of [1, 2, 3]) {
    await writeFile(file(`recordings/walking${k}.csv`), csv(k, true));
    await writeFile(file(`recordings/lying${k}.csv`), csv(k, false));
  }
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const cut = ['--rate', '100', '--window', '500', '--stride', '500'];
const features = (...argv: string[]) => runCli(['data', 'features', ...argv]);

describe('aiot data features', () => {
  it('writes the features of one recording, including the incomplete last window if the set allows one', async () => {
    const out = file('out.csv');
    const { json, code, stdout } = await features(
      file('recordings/walking1.csv'),
      '--set',
      'har',
      ...cut,
      '--out',
      out,
      '--json',
    );
    expect(code, stdout).toBe(0);
    expect(DataFeatures.result.parse(json)).toMatchObject({
      rows: 4,
      incomplete: 1,
      labelFrom: 'none',
      set: 'har',
    });
    const [head, ...rows] = (await readFile(out, 'utf8')).trimEnd().split('\n');
    expect(head!.split(',').length).toBe(115);
    expect(rows.map((row) => row.split(',').filter((cell) => cell === '').length)).toEqual([0, 0, 0, 6]);
    const dropped = await features(
      file('recordings/walking1.csv'),
      '--set',
      'har',
      ...cut,
      '--tail',
      'drop',
      '--json',
    );
    expect(dropped.json).toMatchObject({ rows: 3, incomplete: 0 });
  });

  it('suggests the next command: drop rows with empty cells before training', async () => {
    const out = file('next.csv');
    const args = [file('recordings'), '--set', 'har', ...cut, '--out', out];
    const { stdout } = await features(...args);
    const same = args.slice(1, -2).join(' ');
    const proposed = `aiot data features --tail drop --out ${out} ${same} ${args[0]}`;
    expect(stdout.trimEnd().split('\n').at(-1)).toContain(proposed);
    const dropped = await features(...args, '--tail', 'drop');
    expect(dropped.stdout).toContain(`Next: aiot model train --data ${out}`);
  });

  it.each([
    ['the recording itself', 'recordings/walking1.csv'],
    ['the folder it is in', 'recordings'],
  ])('never overwrites its input: %s', async (_, read) => {
    const out = file('recordings/walking1.csv');
    const before = await readFile(out, 'utf8');
    const { json, code } = await features(file(read), '--set', 'raw', ...cut, '--out', out, '--json');
    expect(code).toBe(2);
    expect(json).toMatchObject({ error: { code: 'AIOT_FILE_IS_INPUT' } });
    expect(await readFile(out, 'utf8')).toBe(before);
  });

  it('rejects samples that are too large for a feature, and reports the window and the feature', async () => {
    const rows = Array.from({ length: 60 }, (_, i) => (i === 55 ? '1e308,-1e308,1e308' : '1,2,3'));
    await writeFile(file('large.csv'), `x,y,z\n${rows.join('\n')}\n`);
    const argv = ['--set', 'motion', '--rate', '50', '--window', '20', '--stride', '20'];
    const { json } = await features(file('large.csv'), ...argv, '--out', file('never.csv'), '--json');
    expect(json).toMatchObject({
      error: {
        code: 'AIOT_FILE_MALFORMED',
        subject: 'csv',
        message: expect.stringMatching(
          /^recording large, the window of 20 samples from sample 41 on: the feature \S+ is infinite/,
        ),
      },
    });
  });

  it('prints the table on stdout, with recording names and labels', async () => {
    const { stdout } = await features(
      file('recordings/walking1.csv'),
      file('recordings/lying2.csv'),
      '--set',
      'x_rms,along_step',
      ...cut,
    );
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toBe('x_rms,along_step,recording,label');
    expect(lines.slice(1).map((line) => line.split(',').slice(2).join())).toEqual([
      ...Array.from({ length: 3 }, () => 'walking1,walking'),
      ...Array.from({ length: 3 }, () => 'lying2,lying'),
    ]);
  });

  it('writes a table that opens as training rows', async () => {
    const out = file('table.csv');
    await features(recordings(), '--set', 'motion', ...cut, '--out', out);
    const table = await openTable(out);
    expect(table).toMatchObject({ rows: 18, columns: expect.arrayContaining(['along_step']) });
    expect(new Set(table.labels)).toEqual(new Set(['walking', 'lying']));
    expect(new Set(table.groups).size).toBe(6);
  });

  it('ranks features by their information on held-out recordings', async () => {
    const { json, stdout } = await features(recordings(), '--set', 'motion', ...cut, '--rank', '--json');
    expect(stdout.trim().split('\n').length).toBe(1);
    const { ranking } = DataFeatures.result.parse(json) as {
      ranking: { accuracy: number; features: { name: string; information: number; f: number }[] };
    };
    expect(ranking.accuracy).toBe(1);
    expect(ranking.features.length).toBe(36);
    expect(ranking.features[0]!.information).toBeCloseTo(1, 1);
    const text = (await features(recordings(), '--set', 'motion', ...cut, '--rank')).stdout;
    expect(text).toContain('A linear probe classifies lying, walking correctly in 100.0 %');
    expect(text).toContain('and 6 more');
  });

  it.each([
    ['a missing window', ['walking1.csv', '--rate', '100'], 2, 'AIOT_USAGE', '--window'],
    ['a missing rate', ['walking1.csv', '--window', '500'], 2, 'AIOT_USAGE', '--rate'],
    ['a rate of 0', ['walking1.csv', '--rate', '0'], 2, 'AIOT_USAGE', 'above 0'],
    ['a missing recording', ['running.csv', ...cut], 4, 'AIOT_FILE_NOT_FOUND', 'running.csv'],
    ['an unknown set', ['walking1.csv', '--set', 'best', ...cut], 2, 'AIOT_FEATURE_UNKNOWN', '"best"'],
    [
      'an unknown feature',
      ['walking1.csv', '--set', 'x_best', ...cut],
      2,
      'AIOT_FEATURE_UNKNOWN',
      '"x_best"',
    ],
    [
      'a low-pass cutoff above half the rate',
      ['walking1.csv', '--lowpass', '60', ...cut],
      2,
      'AIOT_USAGE',
      'below half',
    ],
    [
      '--tail with the raw set',
      ['walking1.csv', '--set', 'raw', '--tail', 'keep', ...cut],
      2,
      'AIOT_USAGE',
      'har',
    ],
    [
      'a recording shorter than a window',
      ['walking1.csv', '--rate', '100', '--window', '5000'],
      2,
      'AIOT_DATA_EMPTY',
      '1700',
    ],
    [
      'ranking with a single label',
      ['walking1.csv', '--rank', ...cut],
      2,
      'AIOT_DATA_ONE_CLASS',
      'two labels',
    ],
    ['an unknown label source', ['walking1.csv', '--label-from', 'sky', ...cut], 2, 'AIOT_USAGE', '"sky"'],
    [
      'an unknown label column',
      ['walking1.csv', '--label-from', 'column:mood', ...cut],
      2,
      'AIOT_CSV_COLUMNS',
      '"mood"',
    ],
  ])('rejects %s', async (_, [name, ...rest], exit, code, message) => {
    const { json, code: got } = await features(join(recordings(), name!), ...rest, '--json');
    expect(got).toBe(exit);
    expect(json).toMatchObject({ error: { code, message: expect.stringContaining(message) } });
  });
});

describe('aiot data features of a stream of sound', () => {
  it('uses each frame once with another --window than that of the project', async () => {
    const project = join(dir, 'bell');
    await mkdir(join(project, 'data'), { recursive: true });
    const yaml = `name: bell
stream: { topic: hall, fields: { sound: { unit: FS } } }
signal:
  rate: 16000
  window: 800
  stride: 480
  features: microfrontend
  mel: { frame: 480, hop: 160, state: stream }
model: { labels: { other: [other], wake: [wake] } }
`;
    await writeFile(join(project, 'aiot.yaml'), yaml);
    const sound = Float64Array.from({ length: 16_000 }, (_, i) => 0.3 * Math.sin(i / 9) * Math.sin(i / 4000));
    await writeFile(join(project, 'data', 'wake1.wav'), writeWav({ rateHz: 16_000, channels: [sound] }));
    const out = join(project, 'features.csv');
    const cut = async (...argv: string[]) => {
      const { code, json, stderr } = await features('--project', project, '--out', out, '--json', ...argv);
      expect(code, stderr).toBe(0);
      const [, ...lines] = (await readFile(out, 'utf8')).trimEnd().split('\n');
      const rows = lines.map((line) => line.split(',').map(Number));
      return { json: json as { rows: number }, rows };
    };
    // 5 frames: 480 + 4 · 160 samples, and the next window starts 5 hops later.
    const { json, rows } = await cut('--window', '1120');
    expect(json.rows).toBe(1 + Math.floor((16_000 - 1120) / 800));
    const whole = await cut('--window', '480');
    const frames = whole.rows.map((row) => row.slice(0, 40));
    expect(rows.map((row) => row.slice(0, 200))).toEqual(
      rows.map((_, w) => frames.slice(5 * w, 5 * w + 5).flat()),
    );
    expect(new Set(frames.flat()).size).toBeGreaterThan(50);

    const refused = await features('--project', project, '--out', out, '--window', '1120', '--stride', '100');
    expect(refused.stderr).toContain('expects a stride of whole hops of 160 samples, got 100');
  });
});
