import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import DataCheck from '../../src/commands/data/check.js';
import { checkText } from '../../src/lib/cli/render/data.js';
import type { CheckReport } from '../../src/lib/data/check/report.js';
import { labelOfName } from '../../src/lib/data/dataset/read.js';
import { openLoose } from '../../src/lib/data/tables/loose-recordings.js';
import { runCli } from '../support/cli.js';
import {
  csvOf,
  noisy,
  people,
  type Rows,
  resampled,
  rest,
  scaled,
  walk,
  writeFiles,
} from './motion-files.js';

let base: string;
let count = 0;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'aiot-loose-'));
});
afterAll(() => rm(base, { recursive: true, force: true }));

async function check(files: Record<string, Rows | string>, ...argv: string[]) {
  const dir = join(base, String(++count));
  await writeFiles(dir, files);
  const { json, code, stdout } = await runCli(['data', 'check', dir, '--json', ...argv]);
  expect(stdout.trim().split('\n').length).toBe(1);
  const report = DataCheck.result.parse(json) as CheckReport;
  return { dir, code, report, found: report.findings.map(({ kind, severity }) => `${severity} ${kind}`) };
}
const clean = people(4);

describe.runIf(process.platform !== 'win32')('a folder with an unreadable entry', () => {
  it('is rejected for a pipe or a broken link', async () => {
    const dir = join(base, 'special');
    await writeFiles(dir, people(2));
    const file = join(dir, 'other.csv');
    const refused = async (path: string) => (await runCli(['data', 'check', path, '--json'])).json;
    execFileSync('mkfifo', [file]);
    expect(await refused(dir)).toMatchObject({
      error: { code: 'AIOT_FILE_NOT_READABLE', message: expect.stringContaining('other.csv: it is a pipe') },
    });
    await rm(file);
    await symlink('nowhere.csv', file);
    for (const path of [dir, file]) {
      expect(await refused(path)).toMatchObject({
        error: {
          code: 'AIOT_FILE_NOT_FOUND',
          message: expect.stringContaining('other.csv is a broken link: nowhere.csv does not exist'),
        },
      });
    }
  });
});
/** The clean files, with `change` applied to those in `names`. */
const changed = (names: string[], change: (rows: Rows) => Rows): Record<string, Rows> => ({
  ...clean,
  ...Object.fromEntries(names.map((name) => [name, change(clean[name]!)])),
});
const walking = ['walking1.csv', 'walking2.csv', 'walking3.csv', 'walking4.csv'];

describe('aiot data check of a folder without a project', () => {
  it('finds nothing in clean walks and rests of one person', async () => {
    const { found, report, code } = await check(clean);
    expect(found).toEqual([]);
    expect(code).toBe(0);
    expect(report).toMatchObject({ of: 'recordings', recordings: 8, rateFrom: 'assumed', labelFrom: 'name' });
  });

  it('does not mistake any of twelve walks of one person at one pace for copies', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 12 }, (_, k) => [`walking${k}.csv`, walk(k + 300)]),
    );
    expect((await check(files)).found).toEqual([]);
  });

  const walk2 = clean['walking2.csv']!;
  it.each([
    ['unchanged', walk2],
    ['with noise', noisy(walk2, 0.3)],
    ['shifted and cut', walk2.slice(713, 3300)],
    ['with a gain and an offset', noisy(scaled(walk2, 1.6, 0.2), 0.05)],
    ['resampled to half the rate', resampled(walk2, 0.5)],
    ['resampled to 1.3 times the rate', noisy(resampled(walk2, 1.3), 0.05)],
    [
      'a stretch of 8 s in another walk, with noise',
      [...walk(77, 15), ...noisy(walk2.slice(1003, 1803), 0.1), ...walk(78, 15)],
    ],
    ['a rest, with a gain', scaled(clean['sitting3.csv']!.slice(200), 1.5)],
  ])('finds a copied recording: %s', async (_, rows) => {
    const name =
      rows.length > 0 && Math.abs(rows[0]![1]!) < 0.05 && _.startsWith('a rest')
        ? 'sitting9.csv'
        : 'walking9.csv';
    const { report, code } = await check({ ...clean, [name]: rows });
    const leaks = report.findings.filter(({ kind }) => kind === 'leak');
    expect(leaks, JSON.stringify(leaks)).toEqual([
      expect.objectContaining({
        severity: 'error',
        files: [_.startsWith('a rest') ? 'sitting3.csv' : 'walking2.csv', name],
      }),
    ]);
    expect(leaks[0]!.evidence.share).toBeGreaterThan(0.9);
    expect(code).toBe(6);
  });

  it('reports one signal under two labels as an error', async () => {
    const { found } = await check({ ...clean, 'running1.csv': noisy(walk2, 0.05) });
    expect(found).toContain('error label');
  });

  it.each([
    ['repeats', 'warning', changed(Object.keys(clean), (rows) => rows.map((_, i) => rows[i - (i % 2)]!)), {}],
    [
      'rate',
      'warning',
      changed(walking, (rows) => rows.map((_, i) => rows[i - (i % 2)]!)),
      { nominalHz: 100 },
    ],
    [
      'shortcut',
      'error',
      changed(walking, (rows) => rows.map((_, i) => rows[i - (i % 2)]!)),
      { by: 'repeats', accuracy: 1 },
    ],
    [
      'shortcut',
      'error',
      changed(walking, (rows) => resampled(resampled(rows, 0.5), 2)),
      { by: 'interpolation' },
    ],
    [
      'shortcut',
      'error',
      changed(walking, (rows) => rows.map((row) => row.map((v) => Math.round(v * 200) / 200))),
      { by: 'resolution' },
    ],
    ['shortcut', 'warning', changed(walking, (rows) => rows.slice(0, 2000)), { by: 'length' }],
    [
      'imbalance',
      'warning',
      { ...people(2), ...Object.fromEntries([5, 6, 7, 8, 9, 10].map((k) => [`walking${k}.csv`, walk(k)])) },
      { ratio: 4 },
    ],
    [
      'stuck',
      'warning',
      changed(['walking2.csv'], (rows) => rows.map(([x, , z]) => [x!, 0.25, z!])),
      { field: 'y', value: 0.25 },
    ],
    [
      'stuck',
      'warning',
      changed(['walking2.csv'], (rows) =>
        rows.map((row, i) => (i > 900 && i < 1500 ? [row[0]!, row[1]!, 0.1] : row)),
      ),
      { field: 'z', rows: 599 },
    ],
    ['swapped', 'warning', changed(['walking3.csv'], (rows) => rows.map(([x, y, z]) => [y!, x!, z!])), {}],
    ['swapped', 'warning', changed(['walking3.csv'], (rows) => rows.map(([x, y, z]) => [-x!, y!, z!])), {}],
    [
      'saturation',
      'warning',
      changed(['walking2.csv'], (rows) => rows.map((row) => row.map((v) => Math.min(1.15, v)))),
      { field: 'x', value: 1.15 },
    ],
    [
      'gap',
      'warning',
      changed(['walking2.csv'], (rows) => rows.map((row, i) => (i > 900 && i < 950 ? rows[900]! : row))),
      { rows: 50, from: 901 },
    ],
    ['short', 'warning', { ...clean, 'walking9.csv': walk(9, 1) }, {}],
    [
      'not-a-number',
      'error',
      { ...clean, 'walking9.csv': csvOf(walk(9)).replace(/\n[^\n]*\n/, '\nNaN,0,0\n') },
      { line: 2, column: 1, field: 'x' },
    ],
    ['label', 'warning', { ...clean, '7.csv': walk(9) }, { unlabelled: 1 }],
  ] as [string, string, Record<string, Rows | string>, object][])(
    'finds %s (%s, case %#)',
    async (kind, severity, files, evidence) => {
      const { report, code } = await check(files);
      const own = report.findings.filter((finding) => finding.kind === kind && finding.severity === severity);
      expect(own.length, JSON.stringify(report.findings)).toBeGreaterThan(0);
      expect(
        own.some((finding) =>
          Object.entries(evidence).every(([key, value]) => finding.evidence[key] === value),
        ),
        JSON.stringify(own),
      ).toBe(true);
      expect(code).toBe(report.ok ? 0 : 6);
      for (const { files: named } of own) for (const name of named) expect(name).toMatch(/\.csv$/);
    },
  );

  it('does not take a field that is constant under one label for other rounding', async () => {
    const rounded = (name: string, rows: Rows) =>
      rows.map(([x, y, z]) => [
        Math.round(1000 * x!) / 1000,
        Math.round(10 * y!) / 10,
        name.startsWith('walking') ? Math.round(100 * z!) / 100 : 21.5,
      ]);
    const files = Object.fromEntries(
      Object.entries(clean).map(([name, rows]) => [name, rounded(name, rows)]),
    );
    const { report } = await check(files);
    expect(report.findings.map(({ evidence }) => (evidence as { by?: string }).by)).not.toContain(
      'resolution',
    );
  });

  it('does not take one field with coarser values under a label for other rounding', async () => {
    const coarse = (name: string, rows: Rows) =>
      rows.map(([x, y, z]) => [
        Math.round(1000 * x!) / 1000,
        Math.round(1000 * y!) / 1000,
        name.startsWith('walking') ? Math.round(1000 * z!) / 1000 : Math.round(5 * z!) / 5,
      ]);
    const files = Object.fromEntries(Object.entries(clean).map(([name, rows]) => [name, coarse(name, rows)]));
    const { report } = await check(files);
    expect(report.findings.map(({ evidence }) => (evidence as { by?: string }).by)).not.toContain(
      'resolution',
    );
  });

  it('finds a label that follows the device, but not an independent one', async () => {
    const on = (rows: Rows, device: string) =>
      csvOf(rows)
        .replace('x,y,z', 'x,y,z,device')
        .replace(/(\d)\n/g, `$1,${device}\n`);
    const deviceOf = (apart: boolean) =>
      Object.fromEntries(
        Object.entries(clean).map(([name, rows], i) => [
          name,
          on(rows, apart ? name.slice(0, 4) : `d${Math.floor(i / 2) % 2}`),
        ]),
      );
    const apart = await check(deviceOf(true));
    expect(apart.report.findings).toContainEqual(
      expect.objectContaining({
        kind: 'shortcut',
        severity: 'error',
        evidence: expect.objectContaining({ by: 'device', accuracy: 1 }),
      }),
    );
    expect((await check(deviceOf(false))).found).toEqual([]);
  });

  it('reads the rate and the gaps from a time column', async () => {
    const timed = (rows: Rows, hz: number, jump = -1) =>
      csvOf(
        rows.map((row, i) => [i / hz + (jump >= 0 && i > jump ? 2 : 0), ...row]),
        'time,x,y,z',
      );
    const files = Object.fromEntries(Object.entries(clean).map(([name, rows]) => [name, timed(rows, 50)]));
    const plain = await check(files);
    expect(plain.report).toMatchObject({ rateHz: 50, rateFrom: 'time', findings: [] });
    const gap = await check({ ...files, 'walking2.csv': timed(walk2, 50, 700) });
    expect(gap.report.findings).toMatchObject([
      { kind: 'gap', files: ['walking2.csv'], evidence: { gaps: 1, row: 701 } },
    ]);
    const faster = Object.fromEntries(walking.map((name) => [name, timed(clean[name]!, 100)]));
    const rates = await check({ ...files, ...faster });
    expect(rates.report.findings).toContainEqual(
      expect.objectContaining({
        kind: 'rate',
        severity: 'error',
        evidence: expect.objectContaining({ slowestHz: 50, fastestHz: 100 }),
      }),
    );
  });

  it('reads a platform export without treating its metadata columns as fields', async () => {
    const rows = csvOf(walk(1, 20)).trim().split('\n');
    const lines = rows
      .slice(1)
      .map((row, i) => `bench-1,walk,${Math.floor(i / 100)},${1.8e12 + i * 10},walking,${row}`);
    const head = `device,recording,seq,t,label,${rows[0]}`;
    const { report, found } = await check({ 'walk.csv': `${[head, ...lines].join('\n')}\n` });
    expect(found).toEqual([]);
    expect(report).toMatchObject({ rateHz: 100, labelFrom: 'column' });
  });

  it('reads labels from folders and from a column, even if they change within a file', async () => {
    const folders = await check({
      'walk/a.csv': walk(1),
      'walk/b.csv': walk(2),
      'sit/a.csv': rest(1),
      'sit/b.csv': rest(2),
    });
    expect(folders.report).toMatchObject({ labelFrom: 'folder', recordings: 4 });
    const column = csvOf(walk(1))
      .replace('x,y,z', 'x,y,z,activity')
      .replace(/(\d)\n/g, '$1,walk\n')
      .replace(/walk\n$/, 'sit\n');
    const { report } = await check({ 'a.csv': column });
    expect(report).toMatchObject({ labelFrom: 'column', recordings: 2 });
    const { code, json } = await runCli([
      'data',
      'check',
      join(base, String(count)),
      '--label-from',
      'column:mood',
      '--json',
    ]);
    expect(code).toBe(2);
    expect(json).toMatchObject({ error: { code: 'AIOT_CSV_COLUMNS' } });
  });

  it('cuts a table with a label column at pauses, and reports a short gap once, in its stretch', async () => {
    // Three walks, then three rests, each 30 s after the previous one. Within the second one, 0.2 s are missing.
    let at = 0;
    const stretch = (rows: Rows, label: string, missing = -1) => {
      at += 30;
      return rows.map((row, i) => {
        at += i === missing ? 0.22 : 0.02;
        return `${at.toFixed(2)},${row.join(',')},${label}`;
      });
    };
    const lines = [1, 2, 3].flatMap((seed) => stretch(walk(seed), 'walk', seed === 2 ? 50 : -1));
    lines.push(...[1, 2, 3].flatMap((seed) => stretch(rest(seed), 'rest')));
    const { report } = await check({ 'all.csv': `time,x,y,z,label\n${lines.join('\n')}\n` });
    expect(report).toMatchObject({ labelFrom: 'column', recordings: 6, rateHz: 50 });
    const gaps = report.findings.filter(({ kind }) => kind === 'gap');
    expect(gaps).toMatchObject([{ evidence: { gaps: 1, row: 50 } }]);
  });
});

it('gives each part of a table that is cut at pauses the time of its own first row', async () => {
  const dir = join(base, 'parts');
  const starts = [1_795_900_000, 1_795_900_100, 1_795_900_250.5];
  const lines = starts.flatMap((start) =>
    walk(1, 20).map((row, i) => `${(start + i / 50).toFixed(2)},${row.join(',')},walk`),
  );
  await writeFiles(dir, { 'all.csv': `time,x,y,z,label\n${lines.join('\n')}\n` });
  const { inOrder } = await openLoose({ paths: [dir] });
  expect(inOrder.map(({ startedAt }) => startedAt)).toEqual(starts.map((start) => start * 1000));
});

it.each([
  [['a_01', 'a_02', 'a_03', 'a_07'], 'a_01–03, a_07'],
  [['a_08', 'a_09', 'a_10', 'a_11'], 'a_08–11'],
  [['a8', 'a9', 'a10'], 'a8–10'],
  [['a8', 'a9', 'a010'], 'a8, a9, a010'],
])('the files %j of a finding are listed with their own digits', (files, listed) => {
  const finding = {
    ...({ kind: 'leak', severity: 'warning', confidence: 'certain' } as const),
    ...{ files, evidence: {}, message: 'Message.', advice: 'Advice.' },
  };
  const report = { of: 'recordings', recordings: 4, samples: 4, rateHz: 1, rateFrom: 'told' } as CheckReport;
  const text = checkText({ ...report, labelFrom: null, split: null, findings: [finding] });
  expect(text.split('\n').map((line) => line.trim())).toContain(listed);
});

describe('aiot data check of a split into folders', () => {
  const split = { ...people(4, 'train/'), ...people(2, 'test/', 11) };

  it('finds nothing if recordings are kept whole', async () => {
    const { found, report } = await check(split);
    expect(found).toEqual([]);
    expect(report.split).toEqual({ by: 'folder', seed: null, train: 8, validation: 0, test: 4 });
  });

  it('finds a copy across two splits', async () => {
    const { report, code } = await check({
      ...split,
      'test/walking19.csv': noisy(split['train/walking2.csv']!.slice(311), 0.2),
    });
    expect(report.findings).toMatchObject([
      {
        kind: 'leak',
        severity: 'error',
        files: ['test/walking19.csv', 'train/walking2.csv'],
        evidence: { apart: true },
      },
    ]);
    expect(code).toBe(6);
  });

  it.each([
    ['that overlap', 200, 100, 'error'],
    ['with a row in common', 201, 200, 'error'],
    ['side by side', 200, 200, 'warning'],
  ])('finds randomly split windows %s', async (_, length, hop, severity) => {
    const files: Record<string, Rows> = {};
    for (const [name, rows] of Object.entries(people(3))) {
      for (let i = 0; i * hop + length <= rows.length; i++) {
        const part = (i * 7 + name.length) % 4 === 0 ? 'test' : 'train';
        files[`${part}/${name.replace('.csv', '')}_${i}.csv`] = rows.slice(i * hop, i * hop + length);
      }
    }
    const { report, code } = await check(files);
    const leaks = report.findings.filter(({ kind }) => kind === 'leak');
    expect(leaks.map((leak) => leak.severity)).toContain(severity);
    expect(code).toBe(severity === 'error' ? 6 : 0);
  });
});

describe('aiot data check of a table', () => {
  const table = (rows: number, seed: number) =>
    walk(seed, rows / 100).map(
      ([x, y, z], i) =>
        `${x!.toFixed(6)},${y!.toFixed(6)},${z!.toFixed(6)},7,${i % 2},${i % 2 ? 'on' : 'off'}`,
    );
  const text = (rows: string[]) => `a,b,c,fixed,state,label\n${rows.join('\n')}\n`;

  it('finds constant columns, a column that equals the label, repeated rows, and rare labels', async () => {
    const file = join(base, 'rows.csv');
    const rows = table(300, 1);
    await writeFile(
      file,
      text([...rows, ...rows.slice(0, 20), rows[3]!.replace('on', 'off'), `1,2,3,7,5,rare`]),
    );
    const { json, code } = await runCli(['data', 'check', file, '--json']);
    const { findings } = DataCheck.result.parse(json) as CheckReport;
    expect(code).toBe(0);
    expect(findings.map(({ kind, severity }) => `${severity} ${kind}`).sort()).toEqual([
      'info stuck',
      'warning imbalance',
      'warning label',
      'warning repeats',
    ]);
    await writeFile(file, text(rows));
    const whole = await runCli(['data', 'check', file]);
    expect(whole.code).toBe(6);
    expect(whole.stdout).toContain('state is equivalent to the label');
  });

  it('reports neither leaks nor wrong labels for a constant column', async () => {
    const rows = Array.from({ length: 60 }, (_, i) => `7,${i % 2 ? 'on' : 'off'}`);
    const dir = join(base, 'constant');
    await writeFiles(dir, {
      'train.csv': `fixed,label\n${rows.join('\n')}\n`,
      'test.csv': `fixed,label\n${rows.join('\n')}\n`,
    });
    const { json, code } = await runCli(['data', 'check', dir, '--json']);
    const { findings } = DataCheck.result.parse(json) as CheckReport;
    expect(code).toBe(0);
    expect(findings.map(({ kind, severity }) => `${severity} ${kind}`)).toEqual([
      'info repeats',
      'info stuck',
    ]);
    expect(findings[0]!.message).toContain('Only 1 of 120 rows are different');
  });

  it('only remarks that a field has one value in all recordings', async () => {
    const recording = (frequency: number) => {
      const rows = Array.from({ length: 200 }, (_, i) => `${i / 50},${Math.sin(i * frequency).toFixed(4)},5`);
      return ['t,x,fixed', ...rows, ''].join('\n');
    };
    const names = ['sit1', 'sit2', 'sit3', 'walk1', 'walk2', 'walk3'];
    const dir = join(base, 'fixed');
    await writeFiles(
      dir,
      Object.fromEntries(names.map((name, i) => [`${name}.csv`, recording(0.11 + 0.17 * i)])),
    );
    const { json, code } = await runCli(['data', 'check', dir, '--json']);
    const { findings } = DataCheck.result.parse(json) as CheckReport;
    expect(code).toBe(0);
    expect(findings.filter(({ kind }) => kind === 'stuck')).toMatchObject([
      { severity: 'info', evidence: { field: 'fixed', everywhere: true } },
    ]);
  });

  it('reports a table that was copied ten times, even though few of its rows are distinct', async () => {
    const dir = join(base, 'copied');
    const rows = table(30, 1);
    await writeFiles(dir, {
      'train.csv': text(Array.from({ length: 9 }, () => rows).flat()),
      'test.csv': text(rows),
    });
    const { json, code } = await runCli(['data', 'check', dir, '--json']);
    const { findings } = DataCheck.result.parse(json) as CheckReport;
    expect(code).toBe(6);
    expect(findings.filter(({ severity }) => severity === 'error').map(({ kind }) => kind)).toContain('leak');
  });

  it('finds rows shared by train.csv and test.csv', async () => {
    const dir = join(base, 'tables');
    const rows = table(300, 1);
    await writeFiles(dir, { 'train.csv': text(rows), 'test.csv': text([...table(100, 2), rows[5]!]) });
    const { json, code } = await runCli(['data', 'check', dir, '--json']);
    expect(code).toBe(6);
    expect(json).toMatchObject({
      of: 'table',
      split: { train: 300, test: 101 },
      findings: expect.arrayContaining([
        expect.objectContaining({ kind: 'leak', files: ['test.csv', 'train.csv'] }),
      ]),
    });
  });

  it.each([
    ['a missing path', ['/nowhere'], 4, 'AIOT_FILE_NOT_FOUND'],
    ['a device file', ['/dev/zero'], 1, 'AIOT_FILE_NOT_READABLE'],
    ['a negative rate', ['.', '--rate', '-1'], 2, 'AIOT_USAGE'],
  ])('rejects %s', async (_, argv, exit, code) => {
    const result = await runCli(['data', 'check', ...argv, '--json']);
    expect(result.code).toBe(exit);
    expect(result.json).toMatchObject({ error: { code } });
  });

  it('rejects a folder without recordings', async () => {
    const dir = await mkdtemp(join(base, 'empty-'));
    const { code, json } = await runCli(['data', 'check', dir, '--json']);
    expect(code).toBe(2);
    expect(json).toMatchObject({ error: { code: 'AIOT_DATA_EMPTY' } });
  });
});

it('data check rejects files with different columns without listing a hundred of them', async () => {
  const header = Array.from({ length: 115 }, (_, i) => `feature_${i}`);
  const dir = join(base, 'kinds');
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'a1.csv'), `${header}\n${header.map(() => 1)}\n`);
  await writeFile(join(dir, 'b1.csv'), 'x,y\n1,2\n');
  const { json } = await runCli(['data', 'check', dir, '--rate', '10', '--json']);
  const { error } = json as { error: { code: string; message: string } };
  expect(error.code).toBe('AIOT_CSV_COLUMNS');
  expect(error.message).toContain('feature_4 and 110 more');
  expect(error.message).not.toContain('feature_80');
});

describe("the label in a file's name", () => {
  it.each([
    ['walking12', [], 'walking'],
    ['air_leak_01', [], 'air_leak'],
    ['worn-belt-3', [], 'worn-belt'],
    ['walk_a', [], 'walk'],
    ['sitting (2)', [], 'sitting'],
    ['air_leak_01', ['air'], 'air'],
    ['42', [], null],
  ])('of %s, with the labels %j, is %s', (name, known, label) => {
    expect(labelOfName(name, known)).toBe(label);
  });
});
